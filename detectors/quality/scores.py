"""How well scores order the rows, and how honest they are as probabilities."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from detectors.quality.metric import Measured, Worse, Z, quality_metric
from detectors.quality.rows import BINARY, JudgedRows

CALIBRATION_BINS = 10


def _scores(rows: JudgedRows) -> NDArray[np.float64]:
    assert rows.scores is not None
    return rows.scores


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value's rank from 1 on; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])


@quality_metric("roc_auc", task=BINARY, worse=Worse.LOWER, scored=True)
def area_under_the_roc_curve(rows: JudgedRows) -> Measured:
    """The chance that a positive row scores above a negative one, ties counted half.

    Its error is DeLong's (DeLong et al. 1988), from midranks (Sun and Xu 2014).
    """
    scores = _scores(rows)
    above, below = scores[rows.labels == 1], scores[rows.labels == 0]
    positives, negatives = len(above), len(below)
    if not positives or not negatives:
        return Measured.undefined("all labels are of one class", len(rows))
    ranks = midranks(np.concatenate([above, below]))
    of_positive = (ranks[:positives] - midranks(above)) / negatives
    of_negative = 1 - (ranks[positives:] - midranks(below)) / positives
    value = float(np.mean(of_positive))
    variance = np.var(of_positive) / max(1, positives - 1) + np.var(of_negative) / max(1, negatives - 1)
    return Measured.normal(value, math.sqrt(variance), len(rows), (0.0, 1.0))


@quality_metric("average_precision", task=BINARY, worse=Worse.LOWER, scored=True)
def average_precision(rows: JudgedRows) -> Measured:
    """Precision at each distinct score from the highest down, weighted by the recall that it adds.

    Its interval is the logit interval of Boyd, Eng and Page (2013, section 3.1), which stays inside 0..1.
    """
    order = np.argsort(-_scores(rows), kind="stable")
    scores, labels = _scores(rows)[order], rows.labels[order]
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(labels)[ends]
    positives = float(hits[-1])
    if not positives:
        return Measured.undefined("no label is positive", len(rows))
    value = min(1.0, float(np.sum(np.diff(hits, prepend=0.0) / positives * (hits / (ends + 1.0)))))
    error = math.sqrt(value * (1 - value) / positives)
    if not 0 < value < 1:
        return Measured(value, error, value, value, len(rows))
    logit, spread = math.log(value / (1 - value)), Z / math.sqrt(positives * value * (1 - value))
    low, high = (1 / (1 + math.exp(-max(-700.0, min(700.0, end)))) for end in (logit - spread, logit + spread))
    return Measured(value, error, low, high, len(rows))


@quality_metric("log_loss", task=BINARY, worse=Worse.HIGHER, scored=True)
def log_loss(rows: JudgedRows) -> Measured:
    """Mean negative log-likelihood in nats, scores kept 2.2e-16 away from 0 and 1."""
    epsilon = float(np.finfo(np.float64).eps)
    positive = np.clip(_scores(rows), epsilon, 1 - epsilon)
    negative = np.clip(1 - _scores(rows), epsilon, 1 - epsilon)
    losses = np.asarray(-xlogy(rows.labels, positive) - xlogy(1 - rows.labels, negative), dtype=np.float64)
    return Measured.mean(losses, (0.0, math.inf))


@quality_metric("brier", task=BINARY, worse=Worse.HIGHER, scored=True)
def brier_score(rows: JudgedRows) -> Measured:
    """Mean squared difference between score and label; 0 to 1."""
    return Measured.mean((_scores(rows) - rows.labels) ** 2, (0.0, 1.0))


@quality_metric("calibration_error", task=BINARY, worse=Worse.HIGHER, scored=True)
def expected_calibration_error(rows: JudgedRows) -> Measured:
    """Mean |share of positives - mean score| over ten bins of equal width, weighted by rows (Naeini et al. 2015).

    Never 0 on real rows: about sqrt(bins / rows) / 4 is noise, which the reference's own windows show.
    """
    return calibration_gap(_scores(rows), rows.labels, CALIBRATION_BINS)


def calibration_gap(confidence: NDArray[np.float64], right: NDArray[np.float64], bins: int) -> Measured:
    """Mean |share right - confidence| over bins of equal width, weighted by rows; `right` is 1.0 or 0.0."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    residual = right - confidence
    sums = np.bincount(np.searchsorted(edges[1:-1], confidence), weights=residual, minlength=bins)
    value = float(np.sum(np.abs(sums)) / len(right))
    variance = max(0.0, float(np.mean(residual**2)) - value**2) / max(1, len(right) - 1)
    return Measured.normal(value, math.sqrt(variance), len(right), (0.0, 1.0))
