"""Which value of a quality metric is too bad."""

from __future__ import annotations

import math
from dataclasses import dataclass

from detectors.findings import Verdict
from detectors.quality.floor import QualityFloor
from detectors.quality.metric import Worse
from detectors.rules import QualityLimit
from detectors.variation import CALIBRATED

DEFAULT_WORSE = {"mae": 0.2, "balanced_accuracy": 0.05, "roc_auc": 0.05, "ndcg": 0.1, "hit_rate": 0.1}
"""`worse_than_reference` of the metrics that are judged without being asked for: the main one or two of a task."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The answer to "is it large enough to matter": the limit that counts, and whether the value is beyond it.

    `rule` says that the limit is an explicit one, which no p-value can excuse.
    """

    threshold: float
    beyond: bool
    rule: bool


def against_limits(
    name: str, value: float, worse: Worse, limit: QualityLimit | None, floor: QualityFloor | None
) -> Judged | None:
    """The limit of `name` that `value` is beyond, else the nearest one; None where there is no limit.

    `worse_than_reference` allows `share` of the reference's value, in the direction in which the metric is worse.
    """
    found: list[tuple[Judged, float]] = []
    if limit is not None and limit.maximum is not None:
        found.append((Judged(limit.maximum, value > limit.maximum, True), limit.maximum - value))
    if limit is not None and limit.minimum is not None:
        found.append((Judged(limit.minimum, value < limit.minimum, True), value - limit.minimum))
    share = DEFAULT_WORSE.get(name) if limit is None else limit.worse_than_reference
    if share is not None and floor is not None:
        room = share * abs(floor.value)
        if worse is Worse.LOWER:
            threshold = floor.value - room
            found.append((Judged(threshold, value < threshold, False), value - threshold))
        elif worse is Worse.HIGHER:
            threshold = floor.value + room
            found.append((Judged(threshold, value > threshold, False), threshold - value))
        else:
            size = abs(floor.value) + room
            threshold = math.copysign(size, value)
            found.append((Judged(threshold, abs(value) > size, False), size - abs(value)))
    if not found:
        return None
    return min(found, key=lambda pair: (not (pair[0].beyond and pair[0].rule), not pair[0].beyond, pair[1]))[0]


def muted(floor: QualityFloor | None) -> Verdict | None:
    """What a comparison with the reference may say: nothing aloud before enough windows show how a metric varies."""
    if floor is None or len(floor.windows) >= CALIBRATED:
        return None
    return Verdict.CALIBRATING if floor.windows else Verdict.UNCALIBRATED
