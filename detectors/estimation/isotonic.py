"""Calibration by isotonic regression: what a value means, learned from what was true of rows with such values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

MOST_KNOTS = 256
"""So many points of a curve are kept: more than the steps that real rows give it."""

_FAR = 1e9


@dataclass(frozen=True, slots=True)
class Curve:
    """A function that never falls, linear between its knots and constant beyond them."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(values, self.x, self.y)

    @classmethod
    def factor(cls, factor: float) -> Curve:
        """A multiple of what is given, from 0 on.

        >>> Curve.factor(2.0)(np.array([0.0, 1.5])).tolist()
        [0.0, 3.0]
        """
        return cls((0.0, _FAR), (0.0, _FAR * factor))

    @classmethod
    def fitted(cls, values: NDArray[np.float64], targets: NDArray[np.float64]) -> Curve:
        """The curve that is nearest to the targets in least squares; 1-d arrays of one length, without NaN.

        Pool adjacent violators (Zadrozny and Elkan 2002 use it to calibrate scores). Raises ValueError without values.

        >>> Curve.fitted(np.array([0.1, 0.2, 0.3, 0.9]), np.array([0.0, 1.0, 0.0, 1.0]))
        Curve(x=(0.1, 0.2, 0.3, 0.9), y=(0.0, 0.5, 0.5, 1.0))
        """
        if not len(values):
            raise ValueError("no values to fit a curve to")
        x, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        means = np.bincount(place, weights=targets) / counts
        y = isotonic_regression(means, weights=counts.astype(np.float64)).x
        # A level needs its two ends, all between them lies on the same line.
        ends = np.ones(len(y), dtype=bool)
        ends[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
        x, y = x[ends], y[ends]
        if len(x) > MOST_KNOTS:
            kept = np.unique(np.linspace(0, len(x) - 1, MOST_KNOTS).round().astype(np.intp))
            x, y = x[kept], y[kept]
        return cls(tuple(x.tolist()), tuple(y.tolist()))
