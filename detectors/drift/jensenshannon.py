"""Jensen-Shannon distance."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from detectors.drift.method import drift_method
from detectors.drift.points import Points, shares


@drift_method("jensenshannon", numeric=0.1, categorical=0.1)
def jensen_shannon_distance(points: Points) -> float:
    """The square root of the Jensen-Shannon divergence in nats over Evidently's bins; 0 to sqrt(ln 2)."""
    reference, window = shares(points, fill=False)
    reference, window = reference / reference.sum(), window / window.sum()
    middle = (reference + window) / 2.0
    divergence = np.sum(rel_entr(reference, middle)) + np.sum(rel_entr(window, middle))
    # Rounding can leave two equal distributions a hair below nothing.
    return float(np.sqrt(max(0.0, divergence / 2.0)))
