"""Population stability index."""

from __future__ import annotations

import numpy as np

from detectors.drift.method import drift_method
from detectors.drift.points import Points, shares


@drift_method("psi", numeric=0.1, categorical=0.1)
def population_stability_index(points: Points) -> float:
    """sum((r - w) ln(r / w)) over Evidently's bins, empty ones filled; 0 or more."""
    reference, window = shares(points, fill=True)
    return float(np.sum((reference - window) * np.log(reference / window)))
