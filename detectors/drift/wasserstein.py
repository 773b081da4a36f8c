"""Wasserstein-1 distance over the reference's standard deviation."""

from __future__ import annotations

import numpy as np

from detectors.drift.method import drift_method
from detectors.drift.points import Points


def wasserstein_distance(points: Points) -> float:
    """The area between the two distribution functions, in the column's unit."""
    before = np.cumsum(points.reference)
    after = np.cumsum(points.window)
    with np.errstate(over="ignore", invalid="ignore"):
        gaps = np.diff(points.values.astype(np.float64))
        return float(np.dot(np.abs(before[:-1] / before[-1] - after[:-1] / after[-1]), gaps))


@drift_method("wasserstein", numeric=0.1)
def normed_wasserstein_distance(points: Points) -> float:
    """W1 over the reference's standard deviation, taken as at least 0.001; 0 or more."""
    return wasserstein_distance(points) / max(points.deviation, 0.001)
