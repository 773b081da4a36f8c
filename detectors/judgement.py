"""From measured values to verdicts: large enough to matter, and more than ordinary variation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from detectors.budget import benjamini_hochberg
from detectors.findings import Finding, Verdict


class Share(StrEnum):
    """Which part of a model's false-alarm budget a test draws on; each has its own."""

    DRIFT = "drift"
    DATA_QUALITY = "data_quality"
    QUALITY = "quality"


PORTIONS = {Share.DRIFT: 0.5, Share.DATA_QUALITY: 0.25, Share.QUALITY: 0.25}
"""The parts of the budget; they add up to 1. Drift tests the most values, so it has the largest."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured value on its way to a verdict.

    `finding` carries everything but the judgement. `large` answers the first question, the finding's p-value the
    second. Under a `rule` `large` alone decides. `bad` is the verdict when the answers are yes, unless `muted`
    (calibrating, uncalibrated) stands in for it. A measurement that is `settled` keeps its finding as it is: too few
    rows, an error, something held back, nothing to judge it by.
    """

    finding: Finding
    share: Share
    large: bool = False
    rule: bool = False
    bad: Verdict = Verdict.DRIFT
    muted: Verdict | None = None
    settled: bool = False


def judge(measurements: Sequence[Measurement], levels: dict[Share, float]) -> list[Finding]:
    """The findings of one evaluation, in the order of the measurements.

    A share's level is split: half for the whole model's values, half for those of segments; inside each half the false
    discovery rate is held by Benjamini and Hochberg's rule (1995).
    """
    unusual = [False] * len(measurements)
    for share, level in levels.items():
        for of_segments in (False, True):
            places = [
                place
                for place, measurement in enumerate(measurements)
                if measurement.share is share
                and not measurement.settled
                and not measurement.rule
                and (measurement.finding.segment is not None) is of_segments
            ]
            if not places:
                continue
            p_values = np.array([_p_value(measurements[place].finding) for place in places])
            for place, rejected in zip(places, benjamini_hochberg(p_values, level / 2).tolist(), strict=True):
                unusual[place] = rejected
    return [_verdict(measurement, unusual[place]) for place, measurement in enumerate(measurements)]


def _p_value(finding: Finding) -> float:
    return 1.0 if finding.p_value is None else finding.p_value


def _verdict(measurement: Measurement, unusual: bool) -> Finding:
    finding = measurement.finding
    if measurement.settled:
        return finding
    flagged = measurement.large and (measurement.rule or unusual)
    verdict = measurement.bad if flagged else Verdict.OK
    if measurement.muted is not None and not measurement.rule:
        verdict = measurement.muted
    return replace(finding, verdict=verdict, flagged=flagged)
