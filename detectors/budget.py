"""The false-alarm budget: the level at which a model may speak."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.instants import DAY, Micros

HIGHEST_LEVEL = 0.02
OVERLAP = 8
"""Sliding windows of one size count as at most so many independent ones."""
_CAUTION = 2.0
"""Real false-alarm rates ran one to two times nominal."""


def independent_windows(size: Micros, every: Micros) -> float:
    """How many windows of a week count as independent: N = (7 d / size) * min(size / every, 8).

    >>> independent_windows(DAY, DAY // 4)
    28.0
    """
    return 7 * DAY / size * min(size / every, OVERLAP)


def level(per_week: float, size: Micros, every: Micros, for_windows: int, rho: float) -> float:
    """The level q at which windows may be flagged so that false alarms keep to `per_week`.

    q = min(0.02, (B / (2 N)) ** (1 / (1 + (k - 1)(1 - rho)))), where k = `for_windows` disjoint windows in a row make
    an alarm and `rho`, 0 .. 0.9, is the lag-1 autocorrelation of the reference windows' statistic.

    >>> level(1.0, DAY, DAY, 1, 0.0)
    0.02
    >>> round(level(0.01, DAY, DAY, 2, 0.5), 5)
    0.00799
    """
    share = per_week / (_CAUTION * independent_windows(size, every))
    if share >= 1.0:
        return HIGHEST_LEVEL
    return float(min(HIGHEST_LEVEL, share ** (1.0 / (1.0 + (for_windows - 1) * (1.0 - rho)))))


def benjamini_hochberg(p: NDArray[np.float64], q: float) -> NDArray[np.bool_]:
    """Which p-values are rejected at false-discovery rate q; NaN is never rejected (Benjamini & Hochberg 1995).

    >>> benjamini_hochberg(np.array([0.001, 0.9, 0.02, np.nan]), 0.05).tolist()
    [True, False, True, False]
    """
    rejected: NDArray[Any] = np.zeros(p.shape, dtype=bool)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    below = np.flatnonzero(p[order] <= q * np.arange(1, len(order) + 1) / max(1, len(order)))
    if len(below):
        rejected[order[: below[-1] + 1]] = True
    return rejected
