"""Which windows may show what is usual."""

from __future__ import annotations

import pytest

from detectors.findings import Finding, Signal, Verdict, ordinary


@pytest.mark.parametrize(
    ("signal", "verdict", "flagged", "joins"),
    [
        (Signal.FEATURE_DRIFT, Verdict.OK, False, True),
        (Signal.FEATURE_DRIFT, Verdict.DRIFT, True, False),
        (Signal.FEATURE_DRIFT, Verdict.UNCALIBRATED, True, True),
        (Signal.PREDICTION_DRIFT, Verdict.CALIBRATING, True, True),
        (Signal.DATA_QUALITY, Verdict.CALIBRATING, True, False),
        (Signal.SCHEMA, Verdict.VIOLATED, True, False),
    ],
)
def test_a_window_is_ordinary_unless_it_is_flagged_or_only_learns_what_is_usual(
    signal: Signal, verdict: Verdict, flagged: bool, joins: bool
) -> None:
    quiet = Finding(Signal.FEATURE_DRIFT, "tvd", Verdict.OK)
    assert ordinary([quiet, Finding(signal, "metric", verdict, flagged=flagged)]) is joins
