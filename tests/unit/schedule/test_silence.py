"""When does a model count as silent, and when are labels missing: tables of cases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from daemon.schedule.silence import (
    Allowance,
    Span,
    Stretch,
    allowance,
    labels_missing,
    live_gap,
    no_predictions,
    proven_stretches,
    until_known,
)
from detectors.findings import Verdict
from detectors.instants import DAY, HOUR, MINUTE, SECOND


@pytest.mark.parametrize(
    ("setting", "reference_gap", "live", "expected"),
    [
        (timedelta(minutes=5), 9 * HOUR, 9 * HOUR, Allowance(5 * MINUTE)),
        ("auto", 6 * HOUR, HOUR, Allowance(9 * HOUR, 6 * HOUR)),
        ("auto", SECOND, None, Allowance(30 * MINUTE, SECOND)),
        ("auto", None, HOUR, Allowance(90 * MINUTE, HOUR)),
        ("auto", None, None, None),
    ],
)
def test_the_allowed_silence_is_what_was_configured_or_learned(
    setting: timedelta, reference_gap: int | None, live: int | None, expected: Allowance | None
) -> None:
    assert allowance(setting, reference_gap, live) == expected


def days(count: int, night: int) -> list[Span]:
    """Rows from 5:00 to 24:00 less `night`, 100 in each hour."""
    return [
        Span(day * DAY + hour * HOUR, day * DAY + hour * HOUR + HOUR - SECOND, 100)
        for day in range(count)
        for hour in range(night // HOUR, 24)
    ]


def test_a_nightly_pause_is_learned_from_the_third_day_on() -> None:
    assert live_gap(days(2, 5 * HOUR)) is None
    gap = live_gap(days(4, 5 * HOUR))
    assert gap is not None
    assert 5 * HOUR <= gap < 5 * HOUR + MINUTE


def test_one_outage_does_not_widen_what_is_usual() -> None:
    spans = [span for span in days(10, 5 * HOUR) if not 3 * DAY <= span.first < 4 * DAY]
    gap = live_gap(spans)
    assert gap is not None
    assert gap < 6 * HOUR


def test_few_rows_in_a_pane_may_be_far_apart() -> None:
    spans = [Span(hour * HOUR, hour * HOUR + 50 * MINUTE, 2) for hour in range(96)]
    assert live_gap(spans) == 50 * MINUTE


def test_a_stretch_is_proven_by_its_next_row_once() -> None:
    spans = [Span(0, HOUR, 9), Span(20 * HOUR, 21 * HOUR, 9), Span(22 * HOUR, 23 * HOUR, 9)]
    allowed = Allowance(2 * HOUR)
    assert proven_stretches(spans, allowed, 0, 19 * HOUR) == []
    assert proven_stretches(spans, allowed, 0, 20 * HOUR) == [Stretch(HOUR, 20 * HOUR)]
    assert proven_stretches(spans, allowed, 20 * HOUR, 90 * HOUR) == []


def test_overlapping_spans_hide_no_rows() -> None:
    spans = [Span(0, 10 * HOUR, 9), Span(HOUR, 2 * HOUR, 9), Span(11 * HOUR, 12 * HOUR, 9)]
    assert proven_stretches(spans, Allowance(3 * HOUR), 0, DAY) == []


def test_silence_is_told_in_seconds_and_in_words() -> None:
    finding = no_predictions(0, 43 * MINUTE, Allowance(30 * MINUTE, 9 * MINUTE))
    assert (finding.verdict, finding.value, finding.threshold, finding.usual) == (Verdict.VIOLATED, 2580, 1800, 540)
    assert finding.immediate
    assert finding.detail is not None
    assert "43 min, allowed 30 min (usual gap at most 9 min)" in finding.detail
    assert no_predictions(0, 30 * MINUTE, Allowance(30 * MINUTE)).verdict is Verdict.OK


def test_without_any_row_the_reason_is_told() -> None:
    finding = no_predictions(0, 2 * DAY, Allowance(DAY, unknown=True), never="no message has come since reading began")
    assert finding.driver == "no message has come since reading began"
    assert finding.detail == (
        "no row so far, read since 1970-01-01T00:00:00Z: 2 d, allowed 1 d (nothing to learn from yet); "
        "no message has come since reading began"
    )


@pytest.mark.parametrize(
    ("known", "setting", "has_rows", "expected"),
    [
        (Allowance(5 * MINUTE), timedelta(minutes=5), False, 5 * MINUTE),
        (Allowance(HOUR, 40 * MINUTE), "auto", True, HOUR),
        (Allowance(HOUR, 40 * MINUTE), "auto", False, DAY),
        (Allowance(9 * DAY, 6 * DAY), "auto", False, 9 * DAY),
        (None, "auto", True, DAY),
        (None, "auto", False, DAY),
    ],
)
def test_auto_gives_a_day_while_nothing_is_known(
    known: Allowance | None, setting: Any, has_rows: bool, expected: int
) -> None:
    assert until_known(known, setting, has_rows=has_rows).after == expected


def test_labels_are_missing_below_half_of_what_is_asked_for() -> None:
    assert labels_missing(1000, 440, 0.9).verdict is Verdict.VIOLATED
    assert labels_missing(1000, 460, 0.9).verdict is Verdict.OK
    assert labels_missing(0, 0, 0.9).verdict is Verdict.OK
