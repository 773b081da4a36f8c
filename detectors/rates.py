"""Counts against what is usual: the negative binomial distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, gammainc, gammaincc

LEAST_DISPERSION = 0.05


@dataclass(frozen=True, slots=True)
class UsualCount:
    """What a count is in ordinary windows: its mean, and its dispersion a (variance = mean + a mean^2).

    `windows` is how many it was learned from: the mean is uncertain by a window's spread over their square root.
    """

    mean: float
    dispersion: float
    windows: int

    @classmethod
    def of(cls, counts: Sequence[float], least_dispersion: float = LEAST_DISPERSION) -> UsualCount:
        """By the method of moments, from the counts of windows of one length."""
        if not len(counts):
            raise ValueError("no windows to learn a usual count from")
        values = np.asarray(counts, dtype=np.float64)
        mean = float(np.mean(values))
        spread = float(np.var(values, ddof=1)) if len(values) > 1 else mean
        dispersion = max(least_dispersion, (spread - mean) / mean**2) if mean > 0 else least_dispersion
        return cls(mean, dispersion, len(values))

    def p_value(self, count: int) -> float:
        """The two-sided p-value of one more window's count."""
        return min(1.0, 2 * min(self.at_most(count), self.at_least(count)))

    def at_least(self, count: int) -> float:
        """The chance of `count` or more."""
        return 1.0 if count <= 0 else self._below(count, upper=True)

    def at_most(self, count: int) -> float:
        """The chance of `count` or fewer."""
        return self._below(count + 1, upper=False)

    def band(self, share: float = 0.95) -> tuple[float, float]:
        """About where `share` of ordinary windows lie, by the normal approximation on the square-root scale."""
        if self.mean <= 0:
            return 0.0, 0.0
        z = {0.95: 1.96}.get(share, 1.96)
        root, half = math.sqrt(self.mean), z * math.sqrt(self._variance() / self.mean) / 2
        return max(0.0, root - half) ** 2, (root + half) ** 2

    def _variance(self) -> float:
        return (self.mean + self.dispersion * self.mean**2) * (1 + 1 / self.windows)

    def _below(self, count: int, *, upper: bool) -> float:
        """P(X >= count) when `upper`, else P(X < count)."""
        if self.mean <= 0:
            return float(not upper)
        dispersion = (self._variance() - self.mean) / self.mean**2
        if dispersion < 1e-9:
            return float(gammainc(count, self.mean) if upper else gammaincc(count, self.mean))
        size = 1 / dispersion
        success = size / (size + self.mean)
        return float(betainc(count, size, 1 - success) if upper else betainc(size, count, success))
