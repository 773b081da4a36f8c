"""Z-test of two proportions."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from detectors.drift.method import Worse, drift_method
from detectors.drift.points import Points


@drift_method("z", categorical=0.05, worse=Worse.LOWER, included=False)
def two_proportions_test(points: Points) -> float:
    """The two-sided p-value of a change in the share of all but the first category in sorted order."""
    used = np.flatnonzero((points.reference > 0) | (points.window > 0))
    if len(used) == 1:
        return 1.0
    first = min(used, key=lambda place: points.values[place])
    n_before, n_after = points.reference.sum(), points.window.sum()
    others_before, others_after = n_before - points.reference[first], n_after - points.window[first]
    before, after = others_before / n_before, others_after / n_after
    pooled = float(before * n_before + after * n_after) / (n_before + n_after)
    z = (before - after) / np.sqrt(pooled * (1 - pooled) * (1.0 / n_before + 1.0 / n_after))
    return float(2 * (1 - ndtr(np.abs(z))))
