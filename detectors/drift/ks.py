"""Kolmogorov-Smirnov test of two samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.drift.method import Worse, drift_method
from detectors.drift.points import Kind, Points


def two_sample_test(reference: NDArray[np.generic], window: NDArray[np.generic], _kind: Kind) -> float:
    """SciPy's own p-value, exact up to 10,000 rows a side."""
    # Half a second to import, and most models never ask for this method.
    from scipy import stats

    return float(stats.ks_2samp(reference.astype(np.float64), window.astype(np.float64)).pvalue)


@drift_method("ks", numeric=0.05, worse=Worse.LOWER, of_rows=two_sample_test)
def kolmogorov_smirnov_test(points: Points) -> float:
    """The two-sided p-value by Smirnov's asymptotic formula, as SciPy computes it above 10,000 rows."""
    from scipy import stats

    before, after = np.cumsum(points.reference), np.cumsum(points.window)
    distance = float(np.max(np.abs(before / before[-1] - after / after[-1])))
    pairs = before[-1] * after[-1] / (before[-1] + after[-1])
    return float(np.clip(stats.kstwo.sf(distance, np.round(pairs)), 0.0, 1.0))
