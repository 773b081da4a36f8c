"""Binary classification: confidence-based performance estimation from the calibrated score.

Source: CBPE as NannyML's documentation describes it ("Confidence-based Performance Estimation"): a calibrated score is
the chance that the row is positive, so the expected cells of the confusion table follow from scores and predictions
alone. Calibration by isotonic regression (Zadrozny and Elkan 2002).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import xlogy

from detectors.columns import Column
from detectors.estimation.family import FAMILIES, Matrix, area, isotonic, ratio, share
from detectors.estimation.given import Given
from detectors.estimation.isotonic import Curve
from detectors.quality.metric import Measured
from detectors.quality.rows import BINARY

POSITIVE = "positive"
ONE_CLASS = "every label is of one class"


class Binary:
    """The signal is the score, the target whether the row is positive."""

    learns = False

    def names(self, given: Given) -> tuple[str, ...]:  # noqa: ARG002
        return (POSITIVE,)

    def learned(self, given: Given, columns: Sequence[Column]) -> None:  # noqa: ARG002
        return None

    def signal(self, learned: None, given: Given) -> Matrix:  # noqa: ARG002
        return np.asarray(given.rows.scores[:, None], dtype=np.float64)

    def targets(self, given: Given) -> Matrix:
        return np.asarray(given.rows.labels[:, None], dtype=np.float64)

    def unlearnable(self, given: Given) -> str | None:
        return ONE_CLASS if len(np.unique(given.rows.labels)) < 2 else None

    def calibrated(self, names: Sequence[str], signal: Matrix, targets: Matrix) -> dict[str, Curve]:
        return isotonic(names, signal, targets)

    def expected(self, signal: Matrix, curves: Mapping[str, Curve], given: Given) -> Matrix:  # noqa: ARG002
        return curves[POSITIVE](signal)

    def estimates(self, given: Given, expected: Matrix) -> dict[str, Measured]:
        chance, predicted, scores = expected[:, 0], given.rows.predictions, given.rows.scores
        n = len(chance)
        hit, passed = chance * predicted, (1 - chance) * (1 - predicted)
        none_predicted, no_label = "no row was predicted positive", "no label is expected to be positive"
        recall, of_recall = ratio(hit, chance)
        specificity, of_specificity = ratio(passed, 1 - chance)
        epsilon = float(np.finfo(np.float64).eps)
        positive, negative = np.clip(scores, epsilon, 1 - epsilon), np.clip(1 - scores, epsilon, 1 - epsilon)
        losses = -xlogy(chance, positive) - xlogy(1 - chance, negative)
        return {
            "accuracy": share(*ratio(hit + passed, np.ones(n))),
            "balanced_accuracy": share((recall + specificity) / 2, (of_recall + of_specificity) / 2, ONE_CLASS),
            "precision": share(*ratio(hit, predicted), none_predicted),
            "recall": share(recall, of_recall, no_label),
            "f1": share(*ratio(2 * hit, predicted + chance), none_predicted),
            "roc_auc": share(*area(scores, chance), ONE_CLASS),
            "log_loss": Measured.mean(np.asarray(losses, dtype=np.float64), (0.0, np.inf)),
            "brier": Measured.mean(chance * (1 - scores) ** 2 + (1 - chance) * scores**2, (0.0, 1.0)),
        }


FAMILIES.add(BINARY, Binary())
