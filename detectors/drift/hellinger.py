"""Hellinger distance."""

from __future__ import annotations

import numpy as np

from detectors.drift.method import drift_method
from detectors.drift.points import Kind, Points, histogram, sturges_edges


@drift_method("hellinger", numeric=0.1, categorical=0.1)
def hellinger_distance(points: Points) -> float:
    """sqrt(1 - sum(sqrt(r w))); 0 to 1.

    Numeric columns are cut at Sturges' edges of the distinct values of both sides.
    """
    reference, window = points.reference, points.window
    if points.kind is Kind.NUMERIC:
        distinct = np.count_nonzero((reference > 0) | (window > 0))
        edges = sturges_edges(points.minimum, points.maximum, float(distinct), points.integers)
        reference, window = histogram(points.values, reference, edges), histogram(points.values, window, edges)
    overlap = np.sum(np.sqrt((reference / reference.sum()) * (window / window.sum())))
    return float(np.sqrt(1.0 - np.clip(overlap, 0.0, 1.0)))
