"""What an evaluation says: one finding for each measured value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Signal(StrEnum):
    """The kind of thing that a finding is about."""

    NO_PREDICTIONS = "no_predictions"
    STALLED = "stalled"
    LAGGING = "lagging"
    LABELS_MISSING = "labels_missing"
    SCHEMA = "schema"
    DATA_QUALITY = "data_quality"
    FEATURE_DRIFT = "feature_drift"
    PREDICTION_DRIFT = "prediction_drift"
    LABEL_DRIFT = "label_drift"
    QUALITY = "quality"
    ESTIMATED_QUALITY = "estimated_quality"
    DRIFTD = "driftd"


class Verdict(StrEnum):
    """The judgement on one measured value."""

    OK = "ok"
    DRIFT = "drift"
    DEGRADED = "degraded"
    VIOLATED = "violated"
    INSUFFICIENT_DATA = "insufficient_data"
    CALIBRATING = "calibrating"
    UNCALIBRATED = "uncalibrated"
    NO_DATA = "no_data"
    ERROR = "error"


FIRING = frozenset({Verdict.DRIFT, Verdict.DEGRADED, Verdict.VIOLATED})
"""The verdicts that make a line count toward an incident."""

SUITE = "evidently."
"""What the metric of a finding from a model's own Evidently suite begins with: measured and limited by Evidently alone,
so it says nothing about ordinary variation and holds nothing else back."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured value: column, metric, value, threshold, noise floor, verdict.

    `segment` is None for the total, else the values that name the segment, such as {"origin": "JFK"};
    `version` is None where the value spans every version (rows, silence, sums of quality).
    `value`, `threshold` and `noise_floor` share one unit, that of `metric`, and can be drawn on one axis.
    `flagged` says that both questions were answered yes (large enough, more than ordinary variation), whatever the
    verdict is allowed to say: a calibrating column may be flagged and yet tell nobody.
    `immediate` findings (rules, silence, schema) fire and end at once, without `for`.
    `driver` says in words what moved most: "dep_delay > 60: 4 → 38 %"; `usual` and `current` are what a person
    compares: means of a numeric column, shares of the driving category, rows, or a metric's usual value.
    """

    signal: Signal
    metric: str
    verdict: Verdict
    column: str | None = None
    version: str | None = None
    segment: dict[str, str] | None = None
    rows: int = 0
    value: float | None = None
    threshold: float | None = None
    noise_floor: float | None = None
    p_value: float | None = None
    flagged: bool = False
    immediate: bool = False
    estimated: bool = False
    driver: str | None = None
    usual: float | None = None
    current: float | None = None
    detail: str | None = None


def ordinary(findings: Iterable[Finding]) -> bool:
    """Whether a window with these findings may help to show what is usual: nothing in it was flagged.

    Drift that may not be told yet, because too few ordinary windows are known, keeps no window out: judged by the
    chance of rows alone nearly every day drifts, and the few that do not would make the others look odd for good.
    """
    return not any(
        finding.flagged and not (finding.verdict in _LEARNING and finding.signal in _DRIFT) for finding in findings
    )


_LEARNING = frozenset({Verdict.CALIBRATING, Verdict.UNCALIBRATED})
_DRIFT = frozenset({Signal.FEATURE_DRIFT, Signal.PREDICTION_DRIFT})
