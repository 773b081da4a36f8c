"""Total variation distance."""

from __future__ import annotations

import numpy as np

from detectors.drift.method import drift_method
from detectors.drift.points import Points


@drift_method("tvd", categorical=0.1)
def total_variation_distance(points: Points) -> float:
    """sum(|r - w|) / 2 over the categories; 0 to 1.

    Evidently's test of this name reports a permutation p-value of the distance; this is the distance itself.
    """
    reference, window = points.reference / points.reference.sum(), points.window / points.window.sum()
    return float(np.sum(np.abs(reference - window)) / 2.0)
