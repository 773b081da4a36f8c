"""A drill: the last windows judged anew, with a fault in their rows, by the rules that are in force."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from daemon.incidents.board import Board, Observation, step
from daemon.incidents.lines import LineKey
from daemon.incidents.policy import Policy
from detectors.drift_input import DriftInput
from detectors.drill import LIMITS, PRECISION, Fault, Kind, check, inject, smallest, standard_deviation
from detectors.evaluation import evaluate_drift
from detectors.findings import Finding, Verdict
from detectors.frames import encode_frame
from detectors.instants import Micros
from detectors.layout import Layout
from detectors.profile import Profile
from detectors.reference import Reference
from detectors.sample import Sample

WAITING = (Verdict.INSUFFICIENT_DATA, Verdict.CALIBRATING, Verdict.UNCALIBRATED, Verdict.ERROR)
"""Verdicts that say that a column cannot be judged yet."""
_IDENTITY = "_identity"


@dataclass(frozen=True, slots=True)
class DrillPane:
    """The sampled rows of one version in one pane, as bytes."""

    version: str
    start: Micros
    samples: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DrillTask:
    """What a drill needs: the fault, the rows that it happens to from `onset` on, and all that windows are judged by.

    `windows` are those to be judged, [start, end), in order; `given` is the last of them as it was judged, without its
    rows.
    """

    model: str
    fault: Fault
    onset: Micros
    windows: tuple[tuple[Micros, Micros], ...]
    panes: tuple[DrillPane, ...]
    given: DriftInput
    policy: Policy


@dataclass(frozen=True, slots=True)
class DrilledLine:
    """A line that fires because of the fault, at the end of which window; `told` when it opens or joins an incident
    that people are told of by it.
    """

    key: LineKey
    at: Micros
    windows: int
    told: bool


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a drill found, by the lines that fire with the fault and not without it, in the order in which they do.

    `smallest_told` and `smallest_found` are the size of the smallest fault that would be told, or at least be found:
    None when not even the largest is, and of a fault without a size. `waiting` are the verdicts for which the columns
    could not be judged.
    """

    lines: tuple[DrilledLine, ...]
    already: tuple[LineKey, ...]
    rows: int
    waiting: tuple[Verdict, ...]
    smallest_told: float | None = None
    smallest_found: float | None = None
    largest: float | None = None

    @property
    def told_at(self) -> Micros | None:
        """The end of the window at which people would have been told."""
        return min((line.at for line in self.lines if line.told), default=None)


@dataclass(frozen=True, slots=True)
class _Fired:
    """When each line fired, in a run over all windows, and the findings of the last of them."""

    at: Mapping[LineKey, tuple[Micros, int]]
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class _Counted:
    version: str
    start: Micros
    profile: bytes
    sample: bytes


def drill(task: DrillTask) -> Drilled:
    """Whether and when the fault would be told, and the smallest of it that would be.

    Raises UnsuitableFault when it cannot happen to its column.
    """
    reference = Reference.from_bytes(task.given.reference)
    layout, fault = reference.layout, task.fault
    check(fault, layout)
    deviation = 0.0
    if fault.kind is Kind.SHIFT:
        deviation = standard_deviation(reference.sample[fault.columns[0]].to_numpy(dtype=np.float64))
    frames = {(pane.version, pane.start): _frame(layout, pane) for pane in task.panes}
    sound = {place: _count(layout, *place, frame) for place, frame in frames.items()}
    baseline = _run(task, list(sound.values()))
    tried: dict[float, _Fired] = {}

    def fired(magnitude: float) -> _Fired:
        if magnitude not in tried:
            injected = fault if fault.size is None else fault.of_magnitude(magnitude)
            counted = dict(sound)
            for version, frame in _struck(frames, task.onset).items():
                for place, rows in _by_pane(inject(frame, injected, deviation), version).items():
                    counted[place] = _count(layout, *place, rows)
            tried[magnitude] = _run(task, list(counted.values()))
        return tried[magnitude]

    def lines(magnitude: float) -> list[DrilledLine]:
        run = fired(magnitude)
        new = [(key, at, n) for key, (at, n) in run.at.items() if key not in baseline.at]
        return [DrilledLine(key, at, n, task.policy.opens(key)) for key, at, n in sorted(new, key=lambda one: one[1])]

    asked = fault.magnitude
    drilled = Drilled(
        lines=tuple(lines(asked)),
        already=tuple(key for key in baseline.at if key.column in (None, *fault.columns)),
        rows=sum(map(len, frames.values())),
        waiting=tuple(
            dict.fromkeys(
                finding.verdict
                for finding in fired(asked).findings
                if finding.column in fault.columns and finding.segment is None and finding.verdict in WAITING
            )
        ),
    )
    limit = LIMITS.get(fault.kind)
    if limit is None:
        return drilled
    told = smallest(lambda size: any(line.told for line in lines(size)), asked, limit)
    found = smallest(lambda size: bool(lines(size)), asked if told is None else told, limit)
    if told is not None and found is not None and found > (1 - 2 * PRECISION) * told:
        found = told  # What is searched for is not known more exactly.
    return replace(
        drilled,
        smallest_told=None if told is None else fault.of_magnitude(told).size,
        smallest_found=None if found is None else fault.of_magnitude(found).size,
        largest=fault.of_magnitude(limit).size,
    )


def _frame(layout: Layout, pane: DrillPane) -> pd.DataFrame:
    """A pane's sampled rows, in the order of time, with something in the place of what is not kept."""
    sample = Sample.merge([Sample.from_bytes(layout, data) for data in pane.samples])
    frame = sample.to_frame()
    frame[_IDENTITY] = sample.identity
    for column in layout.categorical:
        if column.id_like:
            frame[column.name] = frame["_id"]
    return frame.sort_values(["_event_time", "_topic", "_partition", "_offset"], kind="stable", ignore_index=True)


def _struck(frames: Mapping[tuple[str, Micros], pd.DataFrame], onset: Micros) -> dict[str, pd.DataFrame]:
    """By version the rows from the onset on, in the order of time, with the pane that each is in."""
    parts: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for (version, start), frame in sorted(frames.items()):
        if start >= onset and len(frame):
            parts[version].append(frame.assign(_pane=start))
    return {version: pd.concat(own, ignore_index=True) for version, own in parts.items()}


def _by_pane(frame: pd.DataFrame, version: str) -> dict[tuple[str, Micros], pd.DataFrame]:
    starts = frame["_pane"].to_numpy(dtype=np.int64)
    return {(version, start): frame[starts == start].reset_index(drop=True) for start in np.unique(starts).tolist()}


def _count(layout: Layout, version: str, start: Micros, frame: pd.DataFrame) -> _Counted:
    """The rows as intake would have counted them."""
    rows, encoder = encode_frame(frame, layout, frame["_event_time"].to_numpy(dtype=np.int64))
    rows = replace(rows, identity=frame[_IDENTITY].to_numpy(dtype=np.uint64), ids=frame["_id"].to_numpy(dtype=object))
    profile, sample = Profile.of(layout, rows, encoder), Sample.of(layout, rows, encoder)
    return _Counted(version, start, profile.to_bytes(), sample.to_bytes())


def _run(task: DrillTask, counted: Sequence[_Counted]) -> _Fired:
    """All windows judged one after the other, as if nothing had been known before the first of them."""
    board = Board(task.model)
    at: dict[LineKey, tuple[Micros, int]] = {}
    findings: Sequence[Finding] = ()
    for number, (start, end) in enumerate(task.windows, start=1):
        inside = [one for one in counted if start <= one.start < end]
        profiles: dict[str, list[bytes]] = defaultdict(list)
        samples: dict[str, list[bytes]] = defaultdict(list)
        for one in inside:
            profiles[one.version].append(one.profile)
            samples[one.version].append(one.sample)
        result = evaluate_drift(
            replace(
                task.given,
                start=start,
                end=end,
                partials={version: tuple(parts) for version, parts in profiles.items()},
                samples={version: tuple(parts) for version, parts in samples.items()},
            )
        )
        # How many rows there are is not the drill's to say: those of a full pane are a sample.
        findings = [finding for finding in result.findings if finding.metric != "rows"]
        board = step(board, Observation("drift", start, end, findings, rows=result.rows), task.policy, end).board
        for line in board.lines:
            if line.told:
                at.setdefault(line.key, (end, number))
    return _Fired(at, findings)
