"""One configuration over history, in a store of its own: everything is judged as it would be, and nobody is told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import yaml

from daemon.cli.opening import open_store
from daemon.cli.process import Configured, Process
from daemon.cli.signals import Signals
from daemon.config.settings import Settings
from daemon.incidents.incident import Incident
from daemon.store import Connection, Store, evaluations, incidents, status
from daemon.stream.consumer import Consumer
from detectors.findings import FIRING
from detectors.instants import Micros

STORE = "driftd.db"
CONFIGURATION = "driftd.yaml"


class Measure(NamedTuple):
    """What a finding is a value of, whatever its window, version or segment."""

    model: str
    signal: str
    column: str | None
    metric: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a configuration makes of the history: its incidents, and how many windows were judged and flagged.

    `start` and `end` are the event times that the windows lie in, None without any.
    """

    incidents: list[Incident]
    windows: dict[str, Counter[str]]
    flagged: Counter[Measure]
    waiting: dict[str, str]
    start: Micros | None
    end: Micros | None

    @property
    def has_judged(self) -> bool:
        """Whether there was a window to be judged."""
        return self.start is not None


def unheard(settings: Settings, names: Collection[str], folder: Path) -> Settings:
    """The settings with which some models are replayed: by event time, into `folder`, with nobody to be told.

    A model keeps its share of the false alarms, whether or not the others are replayed with it.
    """
    budget = settings.false_alarms.at_most
    share = replace(budget, count=budget.count * len(names) / len(settings.models))
    models = {
        name: settings.models[name].model_copy(update={"channel": None, "mention": None, "receivers": ()})
        for name in names
    }
    return settings.model_copy(
        update={
            "clock": "event",
            "store": settings.store.model_copy(update={"path": folder / STORE}),
            "http": None,
            "slack": None,
            "receivers": {},
            "false_alarms": settings.false_alarms.model_copy(update={"at_most": share}),
            "models": models,
        }
    )


def replay(
    settings: Settings,
    *,
    signals: Signals,
    workers: int,
    prepare: Callable[[Store], None],
    consumer: Callable[..., Consumer] = Consumer,
) -> tuple[int, Replayed]:
    """Reads everything, as `run --until-end` does, and returns its exit code and what came of it.

    `prepare` is called with the empty store. Beside the store lies the configuration that other verbs can be asked
    with.
    """
    folder = settings.store.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    # What is a default is left out: not every one may be written beside every other setting.
    written = settings.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    (folder / CONFIGURATION).write_text(yaml.safe_dump(written, sort_keys=False, allow_unicode=True))
    with open_store(settings.store.path, writer=True, holder="driftd backtest") as store:
        prepare(store)
        process = Process(
            settings,
            store,
            until_end=True,
            workers=workers,
            signals=signals,
            read_again=lambda _: Configured(None),
            consumer=consumer,
            commits=False,
        )
        code = process.run()
        with store.read() as conn:
            return code, _replayed(conn)


def _replayed(conn: Connection) -> Replayed:
    windows: dict[str, Counter[str]] = defaultdict(Counter)
    start: Micros | None = None
    end: Micros | None = None
    for one in evaluations.evaluated(conn):
        if one.kind not in ("drift", "quality") or one.revision:
            continue
        windows[one.model][one.kind] += 1
        start = one.window_start if start is None else min(start, one.window_start)
        end = one.window_end if end is None else max(end, one.window_end)
    flagged: dict[Measure, set[tuple[Micros, Micros]]] = defaultdict(set)
    for row in evaluations.results(conn, final_only=True):
        if row.verdict in FIRING:
            measure = Measure(row.model, row.signal, row.column, row.metric)
            flagged[measure].add((row.window_start, row.window_end))
    return Replayed(
        incidents=[Incident.from_bytes(stored.summary) for stored in incidents.all_incidents(conn)],
        windows=dict(windows),
        flagged=Counter({measure: len(found) for measure, found in flagged.items()}),
        waiting={
            name: state.reason or "nothing became of its reference"
            for name, state in status.model_states_by_name(conn).items()
            if state.state == "waiting"
        },
        start=start,
        end=end,
    )
