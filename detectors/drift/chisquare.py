"""Chi-square test of homogeneity."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc

from detectors.drift.method import Worse, drift_method
from detectors.drift.points import Points


@drift_method("chisquare", categorical=0.05, worse=Worse.LOWER, included=False)
def chi_square_test(points: Points) -> float:
    """The p-value of the window's counts against the reference's, scaled to the window's rows.

    A category that the reference has not gives 0; one category alone says nothing and gives 1 (SciPy: NaN).
    """
    used = (points.reference > 0) | (points.window > 0)
    observed, before = points.window[used], points.reference[used]
    expected = before * (observed.sum() / before.sum())
    if len(observed) == 1:
        return 1.0
    if np.any(expected == 0):
        return 0.0
    return float(chdtrc(len(observed) - 1, np.sum((observed - expected) ** 2 / expected)))
