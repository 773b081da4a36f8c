"""Multiclass classification: confidence-based performance estimation from calibrated probabilities.

Source: CBPE for several classes as NannyML's documentation describes it: each class's probability is calibrated against
all others, then each row's are made to sum to one again (Zadrozny and Elkan 2002). A metric that is a mean over the
classes that occur weighs a class by the chance that it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from detectors.columns import Column
from detectors.estimation.binary import ONE_CLASS
from detectors.estimation.family import FAMILIES, Matrix, area, isotonic, share
from detectors.estimation.given import Given
from detectors.estimation.isotonic import Curve
from detectors.quality.metric import Measured
from detectors.quality.rows import MULTICLASS


class Multiclass:
    """The signal is each class's probability, the target whether the row is of that class."""

    learns = False

    def names(self, given: Given) -> tuple[str, ...]:
        return tuple(given.rows.classes)

    def learned(self, given: Given, columns: Sequence[Column]) -> None:  # noqa: ARG002
        return None

    def signal(self, learned: None, given: Given) -> Matrix:  # noqa: ARG002
        return np.asarray(given.rows.scores, dtype=np.float64)

    def targets(self, given: Given) -> Matrix:
        return np.asarray(np.eye(len(given.rows.classes))[given.rows.labels], dtype=np.float64)

    def unlearnable(self, given: Given) -> str | None:
        return ONE_CLASS if len(np.unique(given.rows.labels)) < 2 else None

    def calibrated(self, names: Sequence[str], signal: Matrix, targets: Matrix) -> dict[str, Curve]:
        return isotonic(names, signal, targets)

    def expected(self, signal: Matrix, curves: Mapping[str, Curve], given: Given) -> Matrix:
        # A class that the reference did not know has no curve: its probability is taken as it is.
        columns = [
            curves[name](signal[:, i]) if name in curves else signal[:, i] for i, name in enumerate(given.rows.classes)
        ]
        chances = np.column_stack(columns)
        total = chances.sum(axis=1, keepdims=True)
        return np.where(total > 0, chances / np.where(total > 0, total, 1), signal)

    def estimates(self, given: Given, expected: Matrix) -> dict[str, Measured]:
        rows, n = given.rows, len(expected)
        scores = rows.scores
        chosen = np.eye(len(rows.classes))[rows.predictions]
        hit, mass = chosen * expected, expected.sum(axis=0)
        # The chance that a window has a row of the class: what a mean over the classes that occur leaves out.
        labelled = 1 - np.exp(-mass)
        there = np.where(chosen.any(axis=0), 1.0, labelled)
        right = hit.sum(axis=1)
        given_to_truth = np.clip(scores, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
        areas = [area(scores[:, j], expected[:, j]) for j in range(len(rows.classes))]
        known = np.array([np.isfinite(value) for value, _ in areas])
        return {
            "accuracy": share(float(right.mean()), (right - right.mean()) / n),
            "balanced_accuracy": _macro(*_ratios(hit, expected), labelled),
            "precision": _macro(*_ratios(hit, chosen), there),
            "recall": _macro(*_ratios(hit, expected), there),
            "f1": _macro(*_ratios(2 * hit, chosen + expected), there),
            "roc_auc": _macro(
                np.array([value for value, _ in areas]),
                np.column_stack([influence for _, influence in areas]),
                labelled * known,
            ),
            "log_loss": Measured.mean(np.sum(-expected * np.log(given_to_truth), axis=1), (0.0, np.inf)),
            "brier": Measured.mean(np.sum(scores**2 - 2 * expected * scores, axis=1) + 1, (0.0, 2.0)),
        }


def _ratios(part: Matrix, whole: Matrix) -> tuple[Matrix, Matrix]:
    """The ratio of each class, 0 where there is no whole, and each row's influence on it."""
    total = whole.sum(axis=0)
    divisor = np.where(total > 0, total, 1)
    values = np.where(total > 0, part.sum(axis=0) / divisor, 0.0)
    return values, (part - values * whole) / divisor


def _macro(values: Matrix, influence: Matrix, weights: Matrix) -> Measured:
    used = weights > 0
    weights = weights[used] / max(float(weights.sum()), np.finfo(np.float64).tiny)
    value = float(values[used] @ weights) if used.any() else np.nan
    return share(value, influence[:, used] @ weights, ONE_CLASS)


FAMILIES.add(MULTICLASS, Multiclass())
