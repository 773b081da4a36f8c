"""What a drift method is, and the registry of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from detectors.drift.points import Kind, Points
from detectors.registry import Registry


class Worse(StrEnum):
    """The direction in which a method's value is worse: a distance grows, a p-value shrinks."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class DriftMethod:
    """A named measure of how far a window is from its reference.

    `thresholds` are the customary size limits by kind of column; a kind without one cannot be measured by this method.
    `included` says whether the threshold itself counts as drift.
    """

    name: str
    thresholds: dict[Kind, float]
    worse: Worse
    included: bool
    of_points: Callable[[Points], float]
    of_rows: Callable[[NDArray[np.generic], NDArray[np.generic], Kind], float] | None = None

    def exact(self, reference: NDArray[np.generic], window: NDArray[np.generic], kind: Kind) -> float:
        """The value on two 1-d arrays of rows without missing or infinite ones; NaN when one has no row."""
        if not len(reference) or not len(window):
            return math.nan
        if self.of_rows is not None:
            return float(self.of_rows(reference, window, kind))
        return float(self.of_points(Points.of_rows(reference, window, kind)))

    def from_cells(self, points: Points) -> float:
        """The value on a profile's counts; NaN when one side has no row."""
        return math.nan if points.empty else float(self.of_points(points))

    def exceeds(self, value: float, threshold: float) -> bool:
        """Whether `value` is large enough to matter."""
        if self.included and value == threshold:
            return True
        return value > threshold if self.worse is Worse.HIGHER else value < threshold


METHODS: Registry[DriftMethod] = Registry("drift method", "detectors.drift")


def drift_method(
    name: str,
    *,
    numeric: float | None = None,
    categorical: float | None = None,
    worse: Worse = Worse.HIGHER,
    included: bool = True,
    of_rows: Callable[[NDArray[np.generic], NDArray[np.generic], Kind], float] | None = None,
) -> Callable[[Callable[[Points], float]], Callable[[Points], float]]:
    """Register the function below as the drift method `name`; the two numbers are its customary thresholds."""
    thresholds = {Kind.NUMERIC: numeric, Kind.CATEGORICAL: categorical}

    def add(function: Callable[[Points], float]) -> Callable[[Points], float]:
        known = {kind: limit for kind, limit in thresholds.items() if limit is not None}
        METHODS.add(name, DriftMethod(name, known, worse, included, function, of_rows))
        return function

    return add
