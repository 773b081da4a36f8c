"""How far predicted numbers were from the true ones."""

from __future__ import annotations

import math

import numpy as np

from detectors.quality.metric import Measured, Worse, quality_metric
from detectors.quality.rows import REGRESSION, JudgedRows

POSITIVE = (0.0, math.inf)


@quality_metric("mae", task=REGRESSION, worse=Worse.HIGHER)
def mean_absolute_error(rows: JudgedRows) -> Measured:
    """mean |prediction - label|, in the label's unit."""
    return Measured.mean(np.abs(rows.predictions - rows.labels), POSITIVE)


@quality_metric("rmse", task=REGRESSION, worse=Worse.HIGHER)
def root_mean_squared_error(rows: JudgedRows) -> Measured:
    """sqrt(mean (prediction - label)^2), in the label's unit; its error by the delta method."""
    squares = (rows.predictions - rows.labels) ** 2
    value = math.sqrt(np.mean(squares))
    error = 0.0 if value == 0 else float(np.std(squares)) / (2 * value * math.sqrt(max(1, len(rows) - 1)))
    return Measured.normal(value, error, len(rows), POSITIVE)


@quality_metric("mape", task=REGRESSION, worse=Worse.HIGHER)
def mean_absolute_percentage_error(rows: JudgedRows) -> Measured:
    """mean |prediction - label| / |label| over the rows whose label is not 0, as a share (0.2 is 20 %).

    scikit-learn divides by 2.2e-16 where the label is 0: one such row makes the metric about 1e15.
    """
    usable = rows.labels != 0
    kept, left_out = int(np.count_nonzero(usable)), int(len(rows) - np.count_nonzero(usable))
    if not kept:
        return Measured.undefined("every label is 0, and no error is a share of 0")
    detail = f"{left_out} of {len(rows)} rows left out: their label is 0" if left_out else None
    labels = rows.labels[usable]
    return Measured.mean(np.abs(rows.predictions[usable] - labels) / np.abs(labels), POSITIVE, detail)


@quality_metric("bias", task=REGRESSION, worse=Worse.FARTHER)
def mean_error(rows: JudgedRows) -> Measured:
    """mean (prediction - label): above 0 the model predicts too much."""
    return Measured.mean(rows.predictions - rows.labels)


@quality_metric("r2", task=REGRESSION, worse=Worse.LOWER)
def coefficient_of_determination(rows: JudgedRows) -> Measured:
    """1 - squared error / variance of the labels, at most 1; its error by the delta method.

    Needs two rows. Where the labels are all the same it is 1 if every prediction is right and 0 otherwise.
    """
    if len(rows) < 2:
        return Measured.undefined("needs two rows", len(rows))
    errors = (rows.predictions - rows.labels) ** 2
    around = (rows.labels - np.mean(rows.labels)) ** 2
    error, variance = float(np.mean(errors)), float(np.mean(around))
    if variance == 0:
        return Measured.normal(1.0 if error == 0 else 0.0, 0.0, len(rows), detail="every label is the same")
    influence = -(errors - error) / variance + error / variance**2 * (around - variance)
    deviation = float(np.std(influence)) / math.sqrt(len(rows) - 1)
    return Measured.normal(1 - error / variance, deviation, len(rows), (-math.inf, 1.0))
