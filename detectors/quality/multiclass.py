"""How good predictions of one of several classes were; means over classes are macro means: every class counts alike.

Values are scikit-learn's with `average="macro"`, `zero_division=0`, and `multi_class="ovr"` for the ROC AUC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from detectors.quality.classes import ClassRows
from detectors.quality.metric import Measured, Worse, quality_metric
from detectors.quality.rows import MULTICLASS
from detectors.quality.scores import CALIBRATION_BINS, calibration_gap, midranks


@dataclass(frozen=True, slots=True)
class _Confusion:
    """Rows by true class (first index) and predicted class, of the classes that occur as either; and their names."""

    cells: NDArray[np.float64]
    names: tuple[str, ...]

    @classmethod
    def of(cls, rows: ClassRows) -> _Confusion:
        size = len(rows.classes)
        cells = np.bincount(rows.labels * size + rows.predictions, minlength=size * size).reshape(size, size)
        used = np.flatnonzero(cells.sum(axis=0) + cells.sum(axis=1))
        return cls(cells[np.ix_(used, used)].astype(np.float64), tuple(rows.classes[i] for i in used))

    @property
    def hits(self) -> NDArray[np.float64]:
        return np.diagonal(self.cells)

    @property
    def true(self) -> NDArray[np.float64]:
        return np.asarray(self.cells.sum(axis=1))

    @property
    def predicted(self) -> NDArray[np.float64]:
        return np.asarray(self.cells.sum(axis=0))

    def macro(self, values: NDArray[np.float64], influence: NDArray[np.float64]) -> Measured:
        """The mean over classes; `influence[i, j]` is what one more row of true class i predicted j adds to it."""
        value, error = float(np.mean(values)), math.sqrt(float(np.sum(self.cells * influence**2)))
        return Measured.normal(value, error, int(self.cells.sum()), (0.0, 1.0), _macro(values, self.names))


def _macro(values: NDArray[np.float64], names: tuple[str, ...]) -> str:
    lowest = int(np.argmin(values))
    return f"macro mean of {len(values)} classes, lowest {names[lowest]!r} with {values[lowest]:.3g}"


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """part / whole, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


@quality_metric("accuracy", task=MULTICLASS, worse=Worse.LOWER)
def accuracy(rows: ClassRows) -> Measured:
    """The share of right predictions."""
    return Measured.share(float(np.count_nonzero(rows.predictions == rows.labels)), len(rows))


@quality_metric("balanced_accuracy", task=MULTICLASS, worse=Worse.LOWER)
def balanced_accuracy(rows: ClassRows) -> Measured:
    """The mean over the labels' classes of the share of right predictions."""
    table = _Confusion.of(rows)
    there = np.flatnonzero(table.true)
    shares = [Measured.share(hits, int(true)) for hits, true in zip(table.hits[there], table.true[there], strict=True)]
    if len(shares) < 2:
        return Measured.undefined("all labels are of one class", len(rows))
    values = np.array([share.value for share in shares])
    error = math.sqrt(sum(share.error**2 for share in shares)) / len(shares)
    detail = _macro(values, tuple(table.names[i] for i in there))
    return Measured.normal(float(np.mean(values)), error, len(rows), (0.0, 1.0), detail)


@quality_metric("precision", task=MULTICLASS, worse=Worse.LOWER)
def precision(rows: ClassRows) -> Measured:
    """The macro mean of the share of right ones among the rows predicted as a class; its error by the delta method."""
    table = _Confusion.of(rows)
    values = _ratio(table.hits, table.predicted)
    size = len(values)
    influence = _ratio(np.eye(size) - values, np.broadcast_to(table.predicted, (size, size))) / size
    return table.macro(values, influence)


@quality_metric("recall", task=MULTICLASS, worse=Worse.LOWER)
def recall(rows: ClassRows) -> Measured:
    """The macro mean of the share of a class's rows that were predicted as it; its error by the delta method."""
    table = _Confusion.of(rows)
    values = _ratio(table.hits, table.true)
    size = len(values)
    influence = _ratio(np.eye(size) - values[:, None], np.broadcast_to(table.true[:, None], (size, size))) / size
    return table.macro(values, influence)


@quality_metric("f1", task=MULTICLASS, worse=Worse.LOWER)
def f1(rows: ClassRows) -> Measured:
    """The macro mean of the harmonic mean of precision and recall; its error by the delta method."""
    table = _Confusion.of(rows)
    whole = table.true + table.predicted
    values = _ratio(2 * table.hits, whole)
    size = len(values)
    slope = values / whole / size
    influence = np.diag(2 / whole / size) - slope[:, None] - slope
    return table.macro(values, influence)


@quality_metric("log_loss", task=MULTICLASS, worse=Worse.HIGHER, scored=True)
def log_loss(rows: ClassRows) -> Measured:
    """Mean negative logarithm of the true class's probability in nats, probabilities kept 2.2e-16 away from 0 and 1."""
    epsilon = float(np.finfo(np.float64).eps)
    given = np.clip(_of_label(rows), epsilon, 1 - epsilon)
    return Measured.mean(np.asarray(-xlogy(1.0, given), dtype=np.float64), (0.0, math.inf))


@quality_metric("roc_auc", task=MULTICLASS, worse=Worse.LOWER, scored=True)
def area_under_the_roc_curve(rows: ClassRows) -> Measured:
    """The macro mean of each class's ROC AUC against all others, over the classes that labels have.

    Its error is DeLong's (DeLong et al. 1988) for a mean of areas over the same rows.
    """
    scores = _scores(rows)
    there = np.unique(rows.labels)
    if len(there) < 2:
        return Measured.undefined("all labels are of one class", len(rows))
    areas, influence = [], np.zeros(len(rows))
    for number in there.tolist():
        positive = rows.labels == number
        above, below = scores[positive, number], scores[~positive, number]
        ranks = midranks(np.concatenate([above, below]))
        of_positive = (ranks[: len(above)] - midranks(above)) / len(below)
        of_negative = 1 - (ranks[len(above) :] - midranks(below)) / len(above)
        areas.append(float(np.mean(of_positive)))
        influence[positive] += (of_positive - areas[-1]) / max(1, len(above) - 1)
        influence[~positive] += (of_negative - areas[-1]) / max(1, len(below) - 1)
    error = math.sqrt(float(np.sum(influence**2))) / len(areas)
    values = np.array(areas)
    detail = f"one against the rest, {_macro(values, tuple(rows.classes[i] for i in there))}"
    return Measured.normal(float(np.mean(values)), error, len(rows), (0.0, 1.0), detail)


@quality_metric("brier", task=MULTICLASS, worse=Worse.HIGHER, scored=True)
def brier_score(rows: ClassRows) -> Measured:
    """Mean over rows of the squared differences between probabilities and truth, summed over classes; 0 to 2."""
    scores = _scores(rows)
    # (p_true - 1)^2 + the others' p^2, without a second matrix of truths.
    return Measured.mean(np.sum(scores**2, axis=1) - 2 * _of_label(rows) + 1, (0.0, 2.0))


@quality_metric("calibration_error", task=MULTICLASS, worse=Worse.HIGHER, scored=True)
def expected_calibration_error(rows: ClassRows) -> Measured:
    """Mean |share right - confidence| over ten bins of the most probable class's probability (Guo et al. 2017).

    Never 0 on real rows: what is noise the reference's own windows show.
    """
    scores = _scores(rows)
    top = np.argmax(scores, axis=1)
    right = (top == rows.labels).astype(np.float64)
    return calibration_gap(scores[np.arange(len(rows)), top], right, CALIBRATION_BINS)


def _scores(rows: ClassRows) -> NDArray[np.float64]:
    assert rows.scores is not None
    return rows.scores


def _of_label(rows: ClassRows) -> NDArray[np.float64]:
    """Each row's probability of its true class."""
    return _scores(rows)[np.arange(len(rows)), rows.labels]
