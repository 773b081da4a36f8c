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
    VOLUME = "volume"
    QUALITY = "quality"
    ESTIMATED = "estimated"


PORTIONS = {
    Share.DRIFT: 0.5,
    Share.DATA_QUALITY: 0.2,
    Share.VOLUME: 0.1,
    Share.QUALITY: 0.15,
    Share.ESTIMATED: 0.05,
}
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

    A share's level is split where there are segments: half for the whole model's values, half for those of segments;
    inside each the false discovery rate is held by Benjamini and Hochberg's rule (1995).
    """
    unusual = [False] * len(measurements)
    for share, level in levels.items():
        whole, of_segments = _tested(measurements, share)
        for places in (whole, of_segments):
            if places:
                p_values = np.array([_p_value(measurements[place].finding) for place in places])
                q = level / 2 if of_segments else level
                for place, rejected in zip(places, benjamini_hochberg(p_values, q).tolist(), strict=True):
                    unusual[place] = rejected
    return [_verdict(measurement, unusual[place]) for place, measurement in enumerate(measurements)]


def _tested(measurements: Sequence[Measurement], share: Share) -> tuple[list[int], list[int]]:
    """The places of the values of one share that have a test: the whole model's, and those of segments."""
    whole: list[int] = []
    of_segments: list[int] = []
    for place, measurement in enumerate(measurements):
        if measurement.share is share and not measurement.settled and not measurement.rule:
            (whole if measurement.finding.segment is None else of_segments).append(place)
    return whole, of_segments


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
