"""Given one value of one window, which sentence says why it was told or was not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.incidents.board import Board, Observation, step
from daemon.incidents.hindsight import Counted, Remembered, Significance, as_of, order, why
from daemon.incidents.lines import LineKey
from daemon.incidents.policy import Policy
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import DAY, HOUR

POLICY = Policy(for_windows=2, recover_after=2)
DRIFT = Finding(
    Signal.PREDICTION_DRIFT, "psi", Verdict.DRIFT, column="prediction", value=0.3, threshold=0.1, p_value=1e-6
)
QUIET = replace(DRIFT, verdict=Verdict.OK)
RULE = Finding(Signal.SCHEMA, "lost", Verdict.VIOLATED, column="prediction", immediate=True, value=1.0, threshold=1.0)
KEY = LineKey.of(DRIFT)
TEST = Significance(0.01, 20)


def remembered(*findings: Finding, every: int = 24) -> list[Remembered]:
    """Windows of a day as a board remembers them."""
    board, windows = Board("m"), []
    for place, finding in enumerate(findings):
        start = place * every * HOUR
        board = step(board, Observation("drift", start, start + DAY, [finding], rows=10), POLICY, start).board
        windows.append((board.windows[-1], finding))
    return windows


SENTENCES = {
    "within its limit": (replace(QUIET, value=0.05), None, "within its limit"),
    "large, and ordinary": (
        replace(QUIET, p_value=0.2),
        None,
        "beyond its limit, but an ordinary window may be: p 0.2 is above 0.01",
    ),
    "large, and rare only by itself": (
        replace(QUIET, p_value=0.004),
        None,
        "beyond its limit, but among 20 values one p of 0.004 is no surprise",
    ),
    "an error": (
        replace(DRIFT, verdict=Verdict.ERROR, detail="ValueError: x"),
        None,
        "it could not be judged: ValueError: x",
    ),
    "too few rows": (replace(DRIFT, verdict=Verdict.INSUFFICIENT_DATA, rows=7), None, "too few rows: 7"),
    "calibrating, and quiet": (
        replace(DRIFT, verdict=Verdict.CALIBRATING),
        None,
        "while fewer than 14 ordinary windows are known nobody is told",
    ),
    "calibrating, and loud": (
        replace(DRIFT, verdict=Verdict.CALIBRATING, flagged=True),
        None,
        "it would be flagged, but while fewer than 14 ordinary windows are known nobody is told",
    ),
    "uncalibrated": (
        replace(DRIFT, verdict=Verdict.UNCALIBRATED),
        None,
        "the reference has no event times that show what is ordinary, so nobody is told",
    ),
    "the first flagged window": (DRIFT, "counted", "flagged in 1 of 2 disjoint windows"),
    "a window held back": (DRIFT, "rows were lost", "flagged, but its window is held back: rows were lost"),
    "a line held back": (
        DRIFT,
        "own data",
        "flagged, but held back: the column's own schema or data quality fires, or a later look took it back",
    ),
    "not remembered": (DRIFT, None, "flagged and not told; how far it had counted is not known any more"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_why_a_value_was_not_told(name: str) -> None:
    finding, held, sentence = SENTENCES[name]
    line = as_of(KEY, remembered(DRIFT), "drift", POLICY) if held == "counted" else None
    counted = None if held is None else Counted(held if held == "rows were lost" else None, line)
    assert why(finding, POLICY, counted=counted, test=TEST, told=False) == sentence


@pytest.mark.parametrize("every", [24, 6])
@pytest.mark.parametrize("flags", ["!", "!!", "!.", ".!!", "!!!!!", "!!!!!....", "!.!.!!!!!!", "!!!!!........"])
def test_looking_back_counts_as_the_board_did(flags: str, every: int) -> None:
    findings = [DRIFT if flag == "!" else QUIET for flag in flags]
    board = Board("m")
    windows: list[Remembered] = []
    for place, finding in enumerate(findings):
        start = place * every * HOUR
        board = step(board, Observation("drift", start, start + DAY, [finding], rows=10), POLICY, start).board
        windows.append((board.windows[-1], finding))
        (line,) = board.lines or (None,)
        assert as_of(KEY, windows, "drift", POLICY) == line


def test_a_window_that_is_held_or_failed_or_whose_column_is_held_counts_for_nothing() -> None:
    board = step(Board("m"), Observation("drift", 0, DAY, [DRIFT, RULE], rows=10), POLICY, DAY).board
    assert as_of(KEY, [(board.windows[-1], DRIFT)], "drift", POLICY) is None
    assert as_of(LineKey.of(RULE), [(board.windows[-1], RULE)], "drift", POLICY) is not None


def test_what_fired_comes_first_then_errors_then_what_is_nearest() -> None:
    error = replace(DRIFT, verdict=Verdict.ERROR, value=None)
    near, far = replace(QUIET, value=0.09), replace(QUIET, value=0.01)
    assert order([far, error, near, DRIFT]) == [3, 1, 2, 0]
