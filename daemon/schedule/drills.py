"""What a drill is made from, read from the store: the last windows that were judged, with their sampled rows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from daemon.config.settings import Settings
from daemon.incidents.policy import Policy
from daemon.schedule.drilling import DrillPane, DrillTask
from daemon.schedule.silence import Allowance, until_known
from daemon.schedule.specs import StoredSpecs
from daemon.schedule.stretches import LOOK_BACK, allowed_silence, spans_of
from daemon.schedule.watch import Watched
from daemon.schedule.windows import NoReference, read_drift
from daemon.store import Connection, evaluations, panes
from daemon.store.due import DueWindow
from detectors.drill import Fault
from detectors.instants import Micros, rfc3339


class CannotDrill(Exception):
    """There is nothing that a drill could be held with yet; the message says why."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A drill's task, and how many rows its windows really had: where panes were full, more than were sampled."""

    task: DrillTask
    rows: int


def prepare_drill(conn: Connection, settings: Settings, name: str, fault: Fault, specs: StoredSpecs) -> Prepared:
    """The drill over the last windows: as many disjoint ones as an incident needs have the fault from their start on.

    Raises:
        CannotDrill: no window has been judged, or its rows are gone.
    """
    watched = Watched.of(settings, name)
    end = evaluations.last_window_end(conn, name, "drift")
    if end is None:
        raise CannotDrill(f"no window of {name} has been judged yet; `driftd status` says how far it is")
    onset = end - int(watched.model.alerts.for_) * watched.size
    windows = [(last - watched.size, last) for last in range(onset + watched.every, end + 1, watched.every)]
    due = DueWindow(name, "drift", end - watched.size, end, 0, 0, None, 0, end, closed=True)
    try:
        judged = read_drift(conn, watched.model, replace(watched.rules, suite=()), due, specs)
    except NoReference as error:
        raise CannotDrill(f"{name}: {error}") from error
    if judged is None:
        raise CannotDrill(f"{name} had no row from {rfc3339(due.start)} to {rfc3339(end)}")
    rows = 0
    samples: dict[tuple[str, Micros], list[bytes]] = defaultdict(list)
    for partial in panes.load_partials(conn, name, windows[0][0], end):
        spec = specs.get(conn, partial.spec_hash)
        if spec is None or spec.reference_hash != judged.reference_hash:
            continue
        rows += partial.rows
        if partial.sample is not None:
            samples[partial.version, partial.pane_start].append(partial.sample)
    first = min((start for _, start in samples), default=end)
    if first >= onset + watched.size:
        raise CannotDrill(
            f"{name} has no sampled rows of its last {int(watched.model.alerts.for_)} windows, which begin at "
            f"{rfc3339(onset)}: an incident needs as many, and samples are kept for store.retention.samples"
        )
    task = DrillTask(
        model=name,
        fault=fault,
        onset=onset,
        windows=tuple(windows),
        panes=tuple(DrillPane(version, start, tuple(parts)) for (version, start), parts in sorted(samples.items())),
        given=replace(judged.task, partials={}, samples={}, scored={}),
        policy=Policy.of(watched.model),
    )
    return Prepared(task, rows)


def allowed_now(conn: Connection, settings: Settings, name: str) -> Allowance:
    """How long the producer may be silent as of the last row.

    Raises:
        CannotDrill: there is no row.
    """
    watched = Watched.of(settings, name)
    rows = panes.pane_rows(conn, name)
    if not rows:
        raise CannotDrill(f"{name} has no row yet; `driftd status` says why")
    last = max(pane.max_event_time for pane in rows)
    allowed = allowed_silence(conn, watched, spans_of(conn, name, last - LOOK_BACK, last))
    return until_known(allowed, watched.model.alerts.no_predictions.after, has_rows=True)
