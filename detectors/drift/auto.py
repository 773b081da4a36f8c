"""The method that needs no choice: robust Wasserstein distance for numbers, total variation for categories."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.drift.method import drift_method
from detectors.drift.points import Kind, Points
from detectors.drift.tvd import total_variation_distance
from detectors.drift.wasserstein import wasserstein_distance

CLIP = 0.01


def robust_deviation(values: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """The standard deviation of ascending values clipped to their 1st and 99th percentile.

    One outlier made the plain deviation of a real column 48 instead of 7, which hides every shift. Where nothing is
    left between the percentiles (99 % of one value) the plain deviation is taken.
    """
    total = counts.sum()
    reached = np.cumsum(counts)
    low = values[np.searchsorted(reached, CLIP * total, "left")]
    high = values[min(int(np.searchsorted(reached, (1 - CLIP) * total, "left")), len(values) - 1)]
    for spread in (np.clip(values, low, high), values):
        # In units of their own range, or the squares of tiny numbers would be nothing and those of huge ones infinite.
        unit = float(spread[-1] - spread[0])
        if unit > 0:
            spread = (spread - spread[0]) / unit
            mean = np.dot(spread, counts) / total
            return unit * float(np.sqrt(np.dot((spread - mean) ** 2, counts) / total))
    return 0.0


@drift_method("auto", numeric=0.1, categorical=0.025)
def automatic(points: Points) -> float:
    """W1 over the reference's robust deviation, or the total variation distance; 0 or more."""
    if points.kind is Kind.CATEGORICAL:
        return total_variation_distance(points)
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = robust_deviation(points.values.astype(np.float64), points.reference)
    if deviation == 0.0:
        # The reference is one value: what differs from it is all that there is to say.
        return total_variation_distance(points)
    return wasserstein_distance(points) / deviation
