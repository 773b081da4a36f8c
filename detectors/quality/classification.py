"""How often predicted classes were the true ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from detectors.quality.metric import Measured, Worse, quality_metric
from detectors.quality.rows import BINARY, JudgedRows


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows by predicted and true class; the first word says whether the prediction was right."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @classmethod
    def of(cls, rows: JudgedRows) -> Confusion:
        cells = np.bincount((2 * rows.predictions + rows.labels).astype(np.int64), minlength=4)
        return cls(int(cells[3]), int(cells[2]), int(cells[1]), int(cells[0]))


@quality_metric("accuracy", task=BINARY, worse=Worse.LOWER)
def accuracy(rows: JudgedRows) -> Measured:
    """The share of right predictions."""
    return Measured.share(float(np.count_nonzero(rows.predictions == rows.labels)), len(rows))


@quality_metric("balanced_accuracy", task=BINARY, worse=Worse.LOWER)
def balanced_accuracy(rows: JudgedRows) -> Measured:
    """The mean of the shares of right predictions among true positives and among true negatives."""
    cells = Confusion.of(rows)
    positives, negatives = cells.true_positive + cells.false_negative, cells.true_negative + cells.false_positive
    if not positives or not negatives:
        return Measured.undefined("all labels are of one class", len(rows))
    hit, passed = Measured.share(cells.true_positive, positives), Measured.share(cells.true_negative, negatives)
    error = math.hypot(hit.error, passed.error) / 2
    return Measured.normal((hit.value + passed.value) / 2, error, len(rows), (0.0, 1.0))


@quality_metric("precision", task=BINARY, worse=Worse.LOWER)
def precision(rows: JudgedRows) -> Measured:
    """The share of true positives among the rows predicted positive."""
    cells = Confusion.of(rows)
    predicted = cells.true_positive + cells.false_positive
    if not predicted:
        return Measured.undefined("no row was predicted positive", len(rows))
    return Measured.share(cells.true_positive, predicted)


@quality_metric("recall", task=BINARY, worse=Worse.LOWER)
def recall(rows: JudgedRows) -> Measured:
    """The share of the positive labels that were predicted."""
    cells = Confusion.of(rows)
    positives = cells.true_positive + cells.false_negative
    if not positives:
        return Measured.undefined("no label is positive", len(rows))
    return Measured.share(cells.true_positive, positives)


@quality_metric("f1", task=BINARY, worse=Worse.LOWER)
def f1(rows: JudgedRows) -> Measured:
    """The harmonic mean of precision and recall; its error by the delta method."""
    cells = Confusion.of(rows)
    wrong = cells.false_positive + cells.false_negative
    whole = 2 * cells.true_positive + wrong
    if not whole:
        return Measured.undefined("no row was predicted positive and no label is", len(rows))
    # Derivatives by a row that is a true positive, and by a row that is wrong.
    right_slope, wrong_slope = 2 * wrong / whole**2, -2 * cells.true_positive / whole**2
    error = math.sqrt(cells.true_positive * right_slope**2 + wrong * wrong_slope**2)
    return Measured.normal(2 * cells.true_positive / whole, error, len(rows), (0.0, 1.0))
