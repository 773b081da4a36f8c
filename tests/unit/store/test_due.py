"""Which windows are due when: timelines, told in hours."""

from __future__ import annotations

import doctest
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from daemon.store import due, evaluations, labels, panes, predictions
from daemon.store.due import Evaluated, QualityTerms, is_due, window_sums
from daemon.store.evaluations import Evaluation, Judged
from daemon.store.maintenance import Keep, retention
from daemon.store.watermarks import advance_watermark
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import DAY, HOUR
from tests.unit.store.tables import rolled_back


@dataclass
class Timeline:
    """A model in windows of `size` every `every`, one hour late at most; instants in hours."""

    conn: Connection
    size: int = 4
    every: int = 2
    lateness: int = 1

    def rows(self, pane: int, rows: int = 100) -> None:
        panes.add_partial(
            self.conn,
            "m",
            "7",
            pane * HOUR,
            "spec",
            rows=rows,
            profile=b"",
            sample=None,
            kth_hash=None,
            min_event_time=pane * HOUR,
            max_event_time=pane * HOUR,
            now=0,
        )

    def due(self, watermark: int | None, *, now: int | None = None, flush: bool = False) -> list[due.DueWindow]:
        return due.due_drift(
            self.conn,
            "m",
            size=self.size * HOUR,
            every=self.every * HOUR,
            pane=HOUR,
            allowed_lateness=self.lateness * HOUR,
            watermark=None if watermark is None else watermark * HOUR,
            now=(watermark or 0 if now is None else now) * HOUR,
            flush=flush,
        )

    def evaluate(self, watermark: int, *, now: int | None = None, flush: bool = False) -> list[str]:
        """What is evaluated at this watermark, as "start-end rREVISION rows"."""
        windows = self.due(watermark, now=now, flush=flush)
        for window in windows:
            self.record(window, watermark if now is None else now)
        return [f"{w.start // HOUR}-{w.end // HOUR} r{w.revision} {w.rows}" for w in windows]

    def record(self, window: due.DueWindow, now: int, *judged: Judged) -> None:
        evaluations.record(
            self.conn,
            Evaluation(
                window.model,
                window.kind,
                window.start,
                window.end,
                window.revision,
                self.every * HOUR,
                window.rows,
                window.expected,
                window.fingerprint,
                window.watermark,
                now * HOUR,
                None,
                "config",
                "0",
            ),
            judged,
        )


@pytest.fixture
def timeline(conn: Connection) -> Timeline:
    return Timeline(conn)


def test_windows_come_due_in_order_as_the_watermark_passes_their_ends(timeline: Timeline) -> None:
    assert timeline.evaluate(100) == [], "no rows, no windows"
    for pane in range(8):
        timeline.rows(pane)

    assert timeline.due(None) == []
    assert timeline.evaluate(1) == []
    assert timeline.evaluate(2) == ["-2-2 r0 200"]
    assert timeline.evaluate(5) == ["0-4 r0 400"]
    assert timeline.evaluate(5) == []
    assert timeline.evaluate(20) == ["2-6 r0 400", "4-8 r0 400", "6-10 r0 200"]


def test_an_empty_stretch_is_not_a_window_each(timeline: Timeline) -> None:
    timeline.rows(0)
    timeline.rows(1000)

    assert timeline.evaluate(2000) == ["-2-2 r0 100", "0-4 r0 100", "998-1002 r0 100", "1000-1004 r0 100"]


def test_a_window_in_the_past_that_had_no_rows_is_evaluated_when_it_gets_some(timeline: Timeline) -> None:
    timeline.rows(0)
    timeline.rows(20)
    timeline.evaluate(24)
    timeline.rows(10)

    assert timeline.evaluate(24) == ["8-12 r0 100", "10-14 r0 100"]


def test_revisions(conn: Connection) -> None:
    # Given windows of 10 h in panes of 1 h, 10 h late at most, one with 1,000 rows
    timeline = Timeline(conn, size=10, every=10, lateness=10)
    timeline.rows(0, 1000)
    assert timeline.evaluate(10) == ["0-10 r0 1000"]

    # When few rows come, or many too soon, then nothing; when more than 1 % after `every`, then one revision
    timeline.rows(1, 10)
    assert timeline.evaluate(19) == []
    timeline.rows(1, 1)
    assert timeline.evaluate(15, now=15) == []
    assert timeline.evaluate(19, now=20) == ["0-10 r1 1011"]

    # When lateness closes, then one last for any change
    timeline.rows(2, 1)
    assert timeline.evaluate(19, now=21) == []
    assert timeline.evaluate(20, now=21) == ["0-10 r2 1012"]
    assert timeline.evaluate(25, now=21) == []

    # The last pane's rows are let in until 9 + 10 + 10: the revision after it has them all
    timeline.rows(9, 1)
    assert timeline.evaluate(28, now=22) == []
    (window,) = timeline.due(29, now=22)
    assert window.closed
    assert timeline.evaluate(29, now=22) == ["0-10 r3 1013"]
    assert timeline.evaluate(50, now=99) == []

    # A partition that slept may still bring some: once per `every`, however few
    timeline.rows(9, 1)
    assert timeline.evaluate(50, now=31) == []
    assert timeline.evaluate(50, now=32) == ["0-10 r4 1014"]


def test_the_end_of_a_run_evaluates_every_stale_window_once(timeline: Timeline) -> None:
    timeline.rows(0, 1000)
    timeline.evaluate(2)
    timeline.rows(1, 1)

    assert timeline.evaluate(2) == []
    assert timeline.evaluate(2, flush=True) == ["-2-2 r1 1001"]
    assert timeline.evaluate(2, flush=True) == []


def test_another_geometry_begins_where_the_old_one_ended(timeline: Timeline) -> None:
    for pane in range(12):
        timeline.rows(pane)
    timeline.evaluate(8)
    timeline.every = 1

    assert timeline.evaluate(10) == ["5-9 r0 400", "6-10 r0 400"]
    timeline.size = 3
    assert timeline.evaluate(11) == ["8-11 r0 300"]


def test_windows_whose_profiles_have_expired_are_left_alone(timeline: Timeline) -> None:
    for pane in range(20):
        timeline.rows(pane)
    timeline.evaluate(20)
    advance_watermark(timeline.conn, "m", 20 * HOUR)
    retention(timeline.conn, Keep(results=DAY, profiles=10 * HOUR, samples=HOUR), now=0)

    assert timeline.evaluate(21, now=999, flush=True) == []


@pytest.mark.parametrize(
    ("rows", "fingerprint", "watermark", "now", "flush", "due"),
    [
        (1000, 0, 999, 999, True, False),  # nothing has changed
        (1011, 0, 150, 199, False, False),  # sooner than `every`
        (1011, 0, 150, 200, False, True),
        (1010, 0, 150, 200, False, False),  # 1 % is not more than 1 %
        (1000, 1, 150, 999, False, False),  # a correction alone waits for the end
        (1010, 0, 200, 101, False, True),  # lateness closes
        (1000, 1, 200, 101, False, True),
        (1001, 0, 150, 101, True, True),  # the run ends
    ],
)
def test_when_a_window_is_evaluated_again(
    rows: int, fingerprint: int, watermark: int, now: int, *, flush: bool, due: bool
) -> None:
    before = Evaluated(revision=0, rows=1000, fingerprint=0, watermark=110, evaluated_at=100)

    assert is_due(before, rows, fingerprint, watermark, now, 100, [200], flush) is due


@pytest.mark.parametrize(
    ("failed", "retry", "rows", "due"),
    [
        (True, True, 1000, True),
        (True, False, 1000, False),
        (True, False, 2000, True),  # more rows are a reason of their own
        (False, True, 1000, False),
    ],
)
def test_a_window_that_failed_is_evaluated_again_when_it_is_time(
    *, failed: bool, retry: bool, rows: int, due: bool
) -> None:
    before = Evaluated(revision=0, rows=1000, fingerprint=0, watermark=110, evaluated_at=100, failed=failed)

    assert is_due(before, rows, 0, 150, 200, 100, [200], retry=retry) is due


def test_the_examples() -> None:
    assert doctest.testmod(due) == doctest.TestResults(failed=0, attempted=1)


def test_the_first_evaluation_needs_no_reason() -> None:
    assert is_due(None, 1, 0, 0, 0, 100, [200])


def test_sums_of_windows_longer_than_their_step_and_shorter() -> None:
    assert window_sums({5: 1, 6: 2}, size=4, every=2) == [(6, 1), (8, 3), (10, 2)]
    assert window_sums({0: 1, 1: 2, 2: 4, 3: 8}, size=1, every=2) == [(2, 2), (4, 8)]
    assert window_sums({}, size=4, every=2) == []
    assert window_sums({0: 1, 10**15: 2}, size=4, every=4) == [(4, 1), (10**15 + 4, 2)], "a long gap costs nothing"
    assert window_sums({-3: 1}, size=5, every=2) == [(-2, 1), (0, 1), (2, 1)]


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("rows"), st.integers(0, 30), st.integers(1, 300)),
            st.tuples(st.just("evaluate"), st.integers(0, 3), st.integers(0, 2)),
        ),
        max_size=25,
    ),
    size=st.integers(1, 6),
    every=st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_the_last_revisions_hold_every_row_whatever_the_order(engine: Engine, steps, size: int, every: int) -> None:  # type: ignore[no-untyped-def]
    with rolled_back(engine) as conn:
        timeline, watermark, now, rows = Timeline(conn, size, every), 0, 0, {}
        for kind, first, second in steps:
            if kind == "rows":
                timeline.rows(first, second)
                rows[first] = rows.get(first, 0) + second
            else:
                watermark, now = watermark + first, now + second
                timeline.evaluate(watermark, now=now)
                assert timeline.evaluate(watermark, now=now) == []
        timeline.evaluate(40, now=now, flush=True)

        last = {one.window_end // HOUR: one for one in evaluations.evaluated(conn, model="m")}
        assert {end: one.rows for end, one in last.items()} == {
            end: sum(count for pane, count in rows.items() if end - size <= pane < end)
            for end in range(0, 40, every)
            if any(end - size <= pane < end for pane in rows)
        }


@dataclass
class LabelTimeline(Timeline):
    """The same with labels: 90 % or 10 hours, one hour late at most; one prediction an hour from 0 on is four rows."""

    size: int = 4
    every: int = 4

    def predict(self, pane: int, count: int = 10) -> None:
        numbers = list(range(pane * 1000, pane * 1000 + count))
        predictions.add_predictions(
            self.conn,
            "m",
            id_hash=numbers,
            event_time=[pane * HOUR] * count,
            partition=[0] * count,
            offset=numbers,
            version=["7"] * count,
            prediction=[1.0] * count,
            segments=["{}"] * count,
            pane=HOUR,
        )

    def label(self, pane: int, count: int, first: int = 0, *, time: int = 0) -> None:
        numbers = list(range(pane * 1000 + first, pane * 1000 + first + count))
        labels.add_labels(
            self.conn,
            "m",
            id_hash=numbers,
            time=[time * HOUR] * count,
            partition=[0] * count,
            offset=[number + time for number in numbers],
            label=[1.0] * count,
        )

    @property
    def terms(self) -> QualityTerms:
        return QualityTerms(self.size * HOUR, self.every * HOUR, 0.9, at_most=10 * HOUR, allowed_lateness=HOUR)

    def quality(self, watermark: int, label_now: int | None, *, now: int = 0, flush: bool = False) -> list[str]:
        windows = due.due_quality(
            self.conn,
            "m",
            self.terms,
            watermark=watermark * HOUR,
            label_now=None if label_now is None else label_now * HOUR,
            now=now * HOUR,
            flush=flush,
        )
        for window in windows:
            self.record(window, now)
        return [f"{w.start // HOUR}-{w.end // HOUR} r{w.revision} {w.rows}/{w.expected}" for w in windows]

    def needed_from(self, watermark: int, label_now: int | None) -> int | None:
        found = due.labels_needed_from(
            self.conn,
            "m",
            self.terms,
            watermark=watermark * HOUR,
            label_now=None if label_now is None else label_now * HOUR,
        )
        return None if found is None else found // HOUR


def test_quality_is_due_by_coverage_or_by_age(conn: Connection) -> None:
    timeline = LabelTimeline(conn)
    assert timeline.quality(99, 99) == []
    timeline.predict(0)
    timeline.predict(5)
    timeline.label(0, 8)

    assert timeline.quality(4, 4) == [], "8 of 10 are not 90 %"
    timeline.label(0, 1, 8)
    assert timeline.quality(3, 99) == [], "its predictions are not all read"
    assert timeline.quality(4, None) == ["0-4 r0 9/10"]
    assert timeline.quality(9, 17) == []
    assert timeline.quality(9, 18) == ["4-8 r0 0/10"], "10 hours after its end, with no label at all"
    assert timeline.quality(9, 18) == []


def test_quality_is_revised_when_more_labels_come(conn: Connection) -> None:
    timeline = LabelTimeline(conn)
    timeline.predict(0, 1000)
    timeline.label(0, 950)
    assert timeline.quality(4, 5, now=5) == ["0-4 r0 950/1000"]

    timeline.label(0, 20, 950)
    assert timeline.quality(4, 6, now=8) == []
    assert timeline.quality(4, 6, now=9) == ["0-4 r1 970/1000"]
    timeline.label(0, 1, 970)
    assert timeline.quality(4, 6, now=99) == []
    assert timeline.quality(4, 14, now=99) == ["0-4 r2 971/1000"], "the labels' age is reached"
    timeline.label(0, 1, 0, time=1)
    assert timeline.quality(4, 14, now=100) == []
    assert timeline.quality(4, 15, now=100) == ["0-4 r3 971/1000"], "a corrected label counts at the end"
    assert timeline.quality(4, 15, now=999, flush=True) == []


def test_labels_are_needed_until_their_last_window_has_closed(conn: Connection) -> None:
    timeline = LabelTimeline(conn, size=4, every=2)
    assert timeline.needed_from(99, None) is None
    for pane in range(8):
        timeline.predict(pane)
    assert timeline.needed_from(8, 8) is not None
    assert (timeline.needed_from(8, 8) or 0) <= -2

    assert timeline.needed_from(12, 17) == -2, "windows still to be evaluated need their panes"
    assert timeline.quality(12, 17) == ["-2-2 r0 0/20", "0-4 r0 0/40", "2-6 r0 0/40"]
    assert timeline.needed_from(12, 17) == 4

    labels.expire(conn, "m", 4 * HOUR)
    assert timeline.quality(12, 17, now=99, flush=True) == [], "no window is judged by half its rows"
    assert timeline.quality(12, 19, now=99) == ["4-8 r0 0/40"]


FAILURE = Judged(Finding(Signal.DRIFTD, "evaluation", Verdict.ERROR))


def test_the_labels_of_a_window_that_failed_stay_for_its_tries(conn: Connection) -> None:
    timeline = LabelTimeline(conn)
    timeline.predict(0)
    timeline.label(0, 100)
    asked: dict[str, Any] = {"watermark": 30 * HOUR, "label_now": 30 * HOUR, "now": 30 * HOUR}
    windows = due.due_quality(conn, "m", timeline.terms, **asked)
    for window in windows:
        timeline.record(window, 30, FAILURE)
    # It is due again when it is tried again, and only then
    again = due.due_quality(conn, "m", timeline.terms, **asked, retry=lambda end: end == windows[0].end)
    assert [(window.end, window.revision) for window in again] == [(windows[0].end, 1)]
    assert due.due_quality(conn, "m", timeline.terms, **asked) == []
    # For two hours nothing that it needs can go
    assert timeline.needed_from(30, 31) == windows[0].start // HOUR
    assert (timeline.needed_from(30, 32) or 0) > windows[-1].start // HOUR
