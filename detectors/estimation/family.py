"""What every family of estimates has in common, and the registry of them: one file a task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Column
from detectors.estimation.given import Given
from detectors.estimation.isotonic import Curve
from detectors.quality.metric import Measured
from detectors.registry import Registry

Matrix = NDArray[np.float64]


class Family(Protocol):
    """How the quality of one task is estimated.

    `signal` is what is known of rows before their labels: one column for each name of `names`. It is calibrated, column
    by column, against `targets`, what came true; `estimates` computes the metrics from the targets that are expected.
    """

    learns: bool
    """Whether `learned` fits a model; otherwise the signal is what was logged."""

    def names(self, given: Given) -> tuple[str, ...]:
        """The columns of signal and targets."""
        ...

    def learned(self, given: Given, columns: Sequence[Column]) -> Any:
        """What `signal` needs besides the rows, learned from labelled ones; None where scores were logged."""
        ...

    def signal(self, learned: Any, given: Given) -> Matrix:
        """One row each, a column for each name; finite."""
        ...

    def targets(self, given: Given) -> Matrix:
        """What came true of labelled rows, in the shape of the signal."""
        ...

    def unlearnable(self, given: Given) -> str | None:
        """In words why nothing can be learned from labelled rows, if so."""
        ...

    def calibrated(self, names: Sequence[str], signal: Matrix, targets: Matrix) -> dict[str, Curve]:
        """For each name the curve that leads from the signal to the target, by rows that the signal has not seen."""
        ...

    def expected(self, signal: Matrix, curves: Mapping[str, Curve], given: Given) -> Matrix:
        """The targets that are expected of rows: each column of the signal under the curve of its name."""
        ...

    def estimates(self, given: Given, expected: Matrix) -> dict[str, Measured]:
        """The metrics by name; their errors are those of the rows' choice, as if each expectation were exact."""
        ...


FAMILIES: Registry[Family] = Registry("estimate", "detectors.estimation")
"""By the task."""


def isotonic(names: Sequence[str], signal: Matrix, targets: Matrix) -> dict[str, Curve]:
    """An isotonic curve for each column."""
    return {name: Curve.fitted(signal[:, i], targets[:, i]) for i, name in enumerate(names)}


def ratio(part: Matrix, whole: Matrix) -> tuple[float, Matrix]:
    """sum(part) / sum(whole), and what each row adds to its error (the delta method); NaN where there is no whole."""
    total = float(whole.sum())
    if total <= 0:
        return math.nan, np.zeros(len(part))
    value = float(part.sum()) / total
    return value, (part - value * whole) / total


def share(value: float, influence: Matrix, reason: str = "") -> Measured:
    """An estimate in 0..1 with the error that its rows' influence makes."""
    if not math.isfinite(value):
        return Measured.undefined(reason, len(influence))
    return Measured.normal(value, math.sqrt(float(np.sum(influence**2))), len(influence), (0.0, 1.0))


def area(scores: Matrix, chance: Matrix) -> tuple[float, Matrix]:
    """The ROC AUC that is expected where each row is positive with some chance, and each row's influence on it.

    Every pair of rows counts by the chance that the one is positive and the other is not, ties half.
    """
    _, place = np.unique(scores, return_inverse=True)
    positive = np.bincount(place, weights=chance)
    negative = np.bincount(place, weights=1 - chance)
    positives, negatives = float(positive.sum()), float(negative.sum())
    if positives <= 0 or negatives <= 0:
        return math.nan, np.zeros(len(scores))
    below = (np.cumsum(negative) - negative / 2) / negatives
    above = 1 - (np.cumsum(positive) - positive / 2) / positives
    value = float(positive @ below) / positives
    influence = chance * (below[place] - value) / positives + (1 - chance) * (above[place] - value) / negatives
    return value, influence
