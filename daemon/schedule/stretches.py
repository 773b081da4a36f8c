"""Silences of a replay: judged when a later row proves them, in the order of event time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daemon import __version__
from daemon.incidents.board import Observation
from daemon.schedule.recording import Recorder
from daemon.schedule.silence import Allowance, Span, allowance, live_gap, no_predictions, proven_stretches
from daemon.schedule.watch import Times, Watched
from daemon.store import Connection, evaluations, panes, references, usual
from daemon.store.evaluations import Evaluation
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import DAY, Micros

LOOK_BACK: Micros = 28 * DAY
KIND: Literal["silence"] = "silence"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A proven silence [last_row, next_row) of a model, and the instant at which it had lasted too long."""

    last_row: Micros
    next_row: Micros
    allowed: Allowance

    @property
    def known_at(self) -> Micros:
        return self.last_row + self.allowed.after


def proven(conn: Connection, watched: Watched, times: Times) -> list[Stretch]:
    """The silences that committed rows prove and that have not been judged yet; none by wall clock."""
    if watched.clock == "wall" or times.watermark is None:
        return []
    judged_until = evaluations.last_window_end(conn, watched.name, KIND) or 0
    # From the last silence on, not from some days ago: a replay takes months at a stride.
    spans = spans_of(conn, watched.name, judged_until, times.watermark)
    allowed = allowed_silence(conn, watched, spans)
    if allowed is None:
        return []
    return [
        Stretch(found.last_row, found.next_row, allowed)
        for found in proven_stretches(spans, allowed, judged_until, times.watermark)
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


def record_stretch(conn: Connection, recorder: Recorder, watched: Watched, stretch: Stretch, wall: Micros) -> None:
    """Records a proven silence as what a daemon of that day would have said: too long at last, and then over."""
    evaluation = Evaluation(
        model=watched.name,
        kind=KIND,
        window_start=stretch.last_row,
        window_end=stretch.next_row,
        revision=0,
        every=watched.every,
        rows=0,
        expected=None,
        fingerprint=0,
        watermark=stretch.next_row,
        evaluated_at=stretch.next_row,
        reference=None,
        config_hash=watched.config_hash,
        driftd_version=__version__,
    )
    silent = no_predictions(stretch.last_row, stretch.next_row, stretch.allowed)
    over = Finding(Signal.NO_PREDICTIONS, silent.metric, Verdict.OK, threshold=silent.threshold, immediate=True)
    observations = [
        Observation(KIND, stretch.last_row, stretch.known_at, [silent]),
        Observation(KIND, stretch.next_row, stretch.next_row, [over]),
    ]
    recorder.record(conn, evaluation, observations, now=stretch.next_row, wall=wall)
