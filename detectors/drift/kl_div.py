"""Kullback-Leibler divergence."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from detectors.drift.method import drift_method
from detectors.drift.points import Points, shares


@drift_method("kl_div", numeric=0.1, categorical=0.1)
def kullback_leibler_divergence(points: Points) -> float:
    """sum(r ln(r / w)) in nats, of the reference from the window, over Evidently's bins, filled, then normalised."""
    reference, window = shares(points, fill=True)
    return float(np.sum(rel_entr(reference / reference.sum(), window / window.sum())))
