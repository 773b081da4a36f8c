"""A small model, its messages and its store, for tests of intake."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from daemon.config.settings import Settings
from daemon.config.windows import pane_length
from daemon.store import books, panes, specs
from daemon.store.specs import Activation
from daemon.store.store import Store
from daemon.stream.intake import Intake
from daemon.stream.pace import Pace
from daemon.stream.spec import Spec, fields_of
from detectors.columns import Role, infer_columns
from detectors.instants import HOUR, MINUTE, SECOND, Micros, rfc3339
from detectors.layout import Layout, build_layout
from detectors.profile import Profile
from detectors.sample import Sample

START: Micros = 1_359_676_800_000_000
"""2013-02-01T00:00:00Z."""
PATIENCE = 180.0
HURRY = Pace(poll=0.05, gather=0.0, topics=0.2, specs=0.05, retry=0.1, watermark=0.0)


def settings(
    store: Path, bootstrap: str = "127.0.0.1:1", models: Mapping[str, Mapping[str, Any]] | None = None, **more: Any
) -> Settings:
    """Settings of an installation whose models need little: `{"m": {"predictions": {"topic": ["t"]}}}`."""
    built = {}
    for name, given in (models or {"m": {"predictions": {"topic": ["t"]}}}).items():
        model = {"reference": {"uri": "reference.parquet"}, "window": {"size": "1h", "every": "1h"}, **given}
        built[name] = model
    return Settings.model_validate(
        {
            "installation": "test",
            "kafka": {"bootstrap_servers": [bootstrap]},
            "store": {"path": str(store), "checkpoint": "200ms"},
            "models": built,
            **more,
        }
    )


def layout(segment_by: tuple[tuple[str, ...], ...] = ()) -> Layout:
    """Two numbers and a word, and the prediction."""
    frame = pd.DataFrame(
        {
            "delay": [float(i % 50) for i in range(200)],
            "hour": [float(i % 24) for i in range(200)],
            "origin": ["JFK", "LGA", "EWR", "JFK"] * 50,
            "prediction": [float(i % 7) for i in range(200)],
        }
    )
    columns = infer_columns(frame, roles={"prediction": Role.PREDICTION}, declared={}, exclude=())
    return build_layout(frame, columns, segment_by=segment_by)


def spec(of: Settings, name: str = "m", **more: Any) -> Spec:
    """The spec of a model over `layout`."""
    model = of.models[name]
    made = layout(**more)
    return Spec(name, fields_of(model), made, made.hash, "reference", pane_length(model.window))


def put_in_force(store: Store, one: Spec, from_pane: Micros = 0) -> None:
    """Let the store say that a spec counts from a pane on."""
    with store.write() as conn:
        specs.add_spec(conn, one.hash, one.to_bytes(), 0)
        specs.activate(conn, Activation(one.model, None, from_pane, one.hash))


def message(number: int, at: Micros | None = None, **more: Any) -> bytes:
    """A prediction; one every ten seconds unless `at` says when."""
    instant = START + number * 10 * SECOND if at is None else at
    features = {"delay": float(number % 50), "hour": number % 24, "origin": ("JFK", "LGA", "EWR")[number % 3]}
    body = {"id": f"id-{number}", "ts": rfc3339(instant), "model_version": "7", "features": features, "prediction": 1.5}
    return json.dumps(body | more).encode()


def label(number: int, value: float = 2.0, at: Micros | None = None) -> bytes:
    """The label of a prediction, an hour later."""
    instant = START + number * 10 * SECOND + HOUR if at is None else at
    return json.dumps({"id": f"id-{number}", "ts": rfc3339(instant), "label": value}).encode()


def counted(store: Store, one: Spec, name: str = "m") -> dict[tuple[str, Micros], int]:
    """Rows by (version, pane), as the partials themselves say; every pane's own count must agree."""
    found: dict[tuple[str, Micros], int] = {}
    with store.read() as conn:
        for partial in panes.load_partials(conn, name, 0, 2**62):
            assert partial.sample is not None
            profile = Profile.from_bytes(one.layout, partial.profile)
            assert profile.rows == partial.rows
            key = partial.version, partial.pane_start
            found[key] = found.get(key, 0) + profile.rows
        rows = {(row.version, row.pane_start): row.rows for row in panes.pane_rows(conn, name)}
        assert rows == found
        assert books.check(conn) == []
    return found


def sampled_ids(store: Store, one: Spec, name: str = "m") -> list[str]:
    """The ids of every sampled row: all rows while a pane has few, so that a row counted twice shows up twice."""
    with store.read() as conn:
        stored = panes.load_partials(conn, name, 0, 2**62)
    ids: list[str] = []
    for partial in stored:
        assert partial.sample is not None
        ids += Sample.from_bytes(one.layout, partial.sample).ids.tolist()
    return sorted(ids)


def book(store: Store, name: str = "m") -> dict[str, int]:
    """The model's counters that are not 0."""
    with store.read() as conn:
        return {counter: value for counter, value in books.books(conn).get(name, {}).items() if value}


def run_to_end(of: Settings, store: Store, **more: Any) -> Intake:
    """Read everything that is there now."""
    intake = Intake(of, store, clock=clock, until_end=True, pace=more.pop("pace", HURRY), **more)
    intake.run()
    assert intake.done
    return intake


@contextmanager
def running(of: Settings, store: Store, **more: Any) -> Iterator[Intake]:
    """Intake in a thread of its own, stopped in order at the end; what it raised is raised here."""
    intake = Intake(of, store, clock=clock, pace=more.pop("pace", HURRY), **more)
    raised: list[Exception] = []

    def run() -> None:
        try:
            intake.run()
        except Exception as error:  # noqa: BLE001  raised again below, in the test's own thread
            raised.append(error)

    thread = threading.Thread(target=run, name="intake")
    thread.start()
    try:
        yield intake
    finally:
        intake.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    if raised:
        raise raised[0]


def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait for a condition; a test fails when it does not come about."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        threading.Event().wait(0.02)


def clock() -> Micros:
    """The wall clock."""
    return time.time_ns() // 1_000


__all__ = ["HOUR", "MINUTE", "SECOND"]
