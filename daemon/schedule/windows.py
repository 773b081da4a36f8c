"""What a worker needs to judge a window, read from the store in one short snapshot."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from daemon.config.settings import Model
from daemon.config.windows import allowed_lateness
from daemon.schedule.estimating import FROM_ROWS, labelled_reference, scored
from daemon.schedule.specs import StoredSpecs
from daemon.schedule.tasks import QualityTask, SuiteTask
from daemon.store import Connection, collecting, labels, panes, references, seen
from daemon.store import specs as stored_specs
from daemon.store.due import DueWindow
from detectors.drift_input import DriftInput
from detectors.instants import Micros
from detectors.rules import Rules

SAMPLE_ROWS = 2_000
"""A version with no more rows in a window is its own sample, and is judged exactly."""
LIVE_WINDOWS = 28
"""So many windows calibrate a reference; more would change nothing."""


@dataclass(frozen=True, slots=True)
class DriftWindow:
    """A drift window as it was read: `due` with the rows that were there, and the reference it is held against.

    `rows` of `due.rows` lie in panes of the spec that is judged; the others were counted before it came into force.
    `suite` is what the model's own Evidently suite is run on, if it has one.
    """

    due: DueWindow
    reference_hash: str
    rows: int
    task: DriftInput
    suite: SuiteTask | None = None


@dataclass(frozen=True, slots=True)
class QualityWindow:
    """A quality window as it was read: `due` with the labels that were there."""

    due: DueWindow
    reference_hash: str
    task: QualityTask


class NoReference(Exception):
    """The window's rows were counted by a spec whose reference is not there any more."""


def read_drift(conn: Connection, model: Model, rules: Rules, due: DueWindow, specs: StoredSpecs) -> DriftWindow | None:
    """The task of a drift window, or None when its rows are gone; raises NoReference."""
    rows_by_spec: dict[str, int] = defaultdict(int)
    rows_by_version: dict[str, int] = defaultdict(int)
    counted = panes.pane_rows(conn, due.model, due.start, due.end)
    for pane in counted:
        rows_by_spec[pane.spec_hash] += pane.rows
    if not rows_by_spec:
        return None
    # One layout a verdict: while a new spec takes over, the one with more of the window's rows speaks for it.
    spec_hash = max(rows_by_spec, key=lambda spec: (rows_by_spec[spec], spec))
    for pane in counted:
        if pane.spec_hash == spec_hash:
            rows_by_version[pane.version] += pane.rows
    spec = specs.get(conn, spec_hash)
    reference = None if spec is None else references.load(conn, spec.reference_hash)
    if spec is None or reference is None:
        raise NoReference(f"the reference of spec {spec_hash[:12]} is not in the store")
    profiles: dict[str, list[bytes]] = defaultdict(list)
    samples: dict[str, list[bytes]] = defaultdict(list)
    by_evidently = any(rule.method.startswith("evidently:") for rule in rules.columns.values())
    on_sample = by_evidently or model.task in FROM_ROWS
    has_suite = any(not entry.labelled for entry in rules.suite)
    of_suite: list[bytes] = []
    for partial in panes.load_partials(conn, due.model, due.start, due.end):
        if partial.spec_hash != spec_hash:
            continue
        profiles[partial.version].append(partial.profile)
        if partial.sample is not None and (on_sample or rows_by_version[partial.version] <= SAMPLE_ROWS):
            samples[partial.version].append(partial.sample)
        if partial.sample is not None and has_suite:
            of_suite.append(partial.sample)
    as_of = due.end - allowed_lateness(model.window)
    live = references.live_windows(conn, due.model, spec.reference_hash, as_of, limit=LIVE_WINDOWS)
    rows = rows_by_spec[spec_hash]
    return DriftWindow(
        due=replace(due, rows=sum(rows_by_spec.values())),
        reference_hash=spec.reference_hash,
        rows=rows,
        task=DriftInput(
            start=due.start,
            end=due.end,
            reference=reference.body,
            live_windows=tuple(live),
            partials={version: tuple(parts) for version, parts in profiles.items()},
            samples={version: tuple(parts) for version, parts in samples.items()},
            rules=rules,
            # What a reference from live traffic holds was seen there.
            seen=seen.columns(conn, due.model) if collecting.load(conn, due.model) is None else None,
            labelled=labelled_reference(conn, model, due, spec.reference_hash),
            scored=scored(conn, model, due),
        ),
        suite=SuiteTask(reference.body, rules, rows, tuple(of_suite)) if has_suite else None,
    )


def read_quality(
    conn: Connection, model: Model, rules: Rules, due: DueWindow, specs: StoredSpecs
) -> QualityWindow | None:
    """The task of a quality window, or None when its predictions are gone; raises NoReference."""
    join = labels.joined_several if model.several_labels else labels.joined
    joined = join(conn, due.model, due.start, due.end)
    if not joined.expected:
        return None
    spec_hash = _spec_in_force(conn, due.model, due.end)
    spec = None if spec_hash is None else specs.get(conn, spec_hash)
    # Labels that came after a reference from live traffic was built are in one of its own.
    reference = None if spec is None else references.load(conn, collecting.labelled(conn, spec.reference_hash))
    if spec is None or reference is None:
        raise NoReference("the reference of the window's rows is not in the store")
    return QualityWindow(
        due=replace(due, rows=joined.labelled, expected=joined.expected, fingerprint=joined.fingerprint),
        reference_hash=reference.hash,
        task=QualityTask(
            start=due.start,
            end=due.end,
            reference=reference.body,
            rules=rules,
            version=joined.version,
            prediction=joined.prediction,
            score=joined.score,
            label=joined.label,
            segments=joined.segments,
            expected=joined.expected,
            labelled=joined.labelled,
        ),
    )


def _spec_in_force(conn: Connection, model: str, before: Micros) -> str | None:
    """The spec of the last pane before an instant."""
    in_force = [one for one in stored_specs.active(conn, model) if one.version is None and one.from_pane < before]
    return in_force[-1].spec_hash if in_force else None
