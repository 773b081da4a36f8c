"""Silences and lost offsets of a replay: judged when a later row proves them, in the order of event time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from daemon import __version__
from daemon.incidents.board import Observation
from daemon.schedule.recording import Recorder
from daemon.schedule.silence import (
    Allowance,
    Lost,
    LostChange,
    Span,
    allowance,
    live_gap,
    lost_changes,
    lost_offsets,
    no_predictions,
    proven_stretches,
)
from daemon.schedule.watch import Times, Watched
from daemon.store import Connection, evaluations, gaps, panes, references, usual
from daemon.store.evaluations import Evaluation
from daemon.store.gaps import Gap
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import DAY, Micros

LOOK_BACK: Micros = 28 * DAY
KIND: Literal["silence"] = "silence"
LOST = "lost"
"""The kind of an evaluation that says which offsets were lost; on a board they are judged like silences."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A proven silence [last_row, next_row) of a model, and the instant at which it had lasted too long."""

    last_row: Micros
    next_row: Micros
    allowed: Allowance

    @property
    def known_at(self) -> Micros:
        return self.last_row + self.allowed.after


Proven = Stretch | LostChange
"""What rows have proven, to be told at its `known_at`."""


def proven(conn: Connection, watched: Watched, times: Times, *, flush: bool = False) -> list[Proven]:
    """What committed rows prove and has not been judged yet, in order; nothing by wall clock.

    At the end of a run, `flush`, offsets after which no row came are lost too.
    """
    if watched.clock == "wall" or times.watermark is None:
        return []
    found: list[Proven] = [*_silences(conn, watched, times.watermark), *_losses(conn, watched, times, flush)]
    return sorted(found, key=lambda one: one.known_at)


def _silences(conn: Connection, watched: Watched, watermark: Micros) -> list[Stretch]:
    judged_until = evaluations.last_window_end(conn, watched.name, KIND) or 0
    # From the last silence on, not from some days ago: a replay takes months at a stride.
    spans = spans_of(conn, watched.name, judged_until, watermark)
    allowed = allowed_silence(conn, watched, spans)
    if allowed is None:
        return []
    return [
        Stretch(found.last_row, found.next_row, allowed)
        for found in proven_stretches(spans, allowed, judged_until, watermark)
    ]


def _losses(conn: Connection, watched: Watched, times: Times, flush: bool) -> list[LostChange]:
    recorded = gaps.gaps(conn, watched.name)
    marks = [times.watermark, *([times.label_watermark] if watched.label_topics else [])]
    if not recorded or None in marks:
        return []
    # A row after the lost ones of one partition proves nothing of the others: those have to be read so far as well.
    until = min(mark for mark in marks if mark is not None)
    judged_until = evaluations.last_window_end(conn, watched.name, LOST) or 0
    lost = lost_of(recorded)
    if flush:
        lost = [replace(one, known_at=until) if one.known_at is None else one for one in lost]
    return lost_changes(lost, watched.size, judged_until, until)


def lost_of(recorded: Sequence[Gap]) -> list[Lost]:
    """Recorded gaps as what is judged."""
    return [
        Lost(
            gap.topic,
            gap.partition,
            gap.from_offset,
            gap.to_offset,
            gap.reason,
            gap.event_time_from,
            gap.event_time_to,
        )
        for gap in recorded
    ]


def spans_of(conn: Connection, model: str, since: Micros, until: Micros) -> list[Span]:
    """When the model had rows, by pane, from `since` (its pane included) until `until`."""
    return [
        Span(pane.min_event_time, pane.max_event_time, pane.rows)
        for pane in panes.pane_rows(conn, model, since - DAY, until + 1)
    ]


def allowed_silence(conn: Connection, watched: Watched, spans: list[Span]) -> Allowance | None:
    """How long the model may be silent, by its settings and what is usual for it."""
    reference = references.current(conn, watched.name)
    gap = None if reference is None else usual.gap(conn, reference)
    return allowance(watched.model.alerts.no_predictions.after, gap, live_gap(spans))


def record_proven(conn: Connection, recorder: Recorder, watched: Watched, item: Proven, wall: Micros) -> None:
    """Records what rows have proven, as a daemon of that day would have told it."""
    if isinstance(item, Stretch):
        _record_silence(conn, recorder, watched, item, wall)
    else:
        _record_loss(conn, recorder, watched, item, wall)


def _record_silence(conn: Connection, recorder: Recorder, watched: Watched, stretch: Stretch, wall: Micros) -> None:
    """Too long at last, and then over."""
    silent = no_predictions(stretch.last_row, stretch.next_row, stretch.allowed)
    over = Finding(Signal.NO_PREDICTIONS, silent.metric, Verdict.OK, threshold=silent.threshold, immediate=True)
    observations = [
        Observation(KIND, stretch.last_row, stretch.known_at, [silent]),
        Observation(KIND, stretch.next_row, stretch.next_row, [over]),
    ]
    evaluation = proving(watched, KIND, stretch.last_row, stretch.next_row)
    recorder.record(conn, evaluation, observations, now=stretch.next_row, wall=wall)


def _record_loss(conn: Connection, recorder: Recorder, watched: Watched, change: LostChange, wall: Micros) -> None:
    at = change.known_at
    since = min([at, *(at if one.since is None else one.since for one in change.lost)])
    observation = Observation(KIND, since, at, [lost_offsets(change.lost)])
    recorder.record(conn, proving(watched, LOST, since, at), [observation], now=at, wall=wall)


def proving(watched: Watched, kind: str, start: Micros, end: Micros) -> Evaluation:
    """The evaluation of a stretch [start, end) that is no window."""
    return Evaluation(
        model=watched.name,
        kind=kind,
        window_start=start,
        window_end=end,
        revision=0,
        every=watched.every,
        rows=0,
        expected=None,
        fingerprint=0,
        watermark=end,
        evaluated_at=end,
        reference=None,
        config_hash=watched.config_hash,
        driftd_version=__version__,
    )
