"""Regression: direct loss estimation, a model of the error that is to be expected of a prediction.

Source: DLE as NannyML's documentation describes it ("Direct Loss Estimation"): the monitored model's absolute error is
learned from its features and its prediction. Here the mean absolute and the mean squared error are read off what that
model says, calibrated by rows that it had not seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from detectors.columns import Column, ColumnType, Role
from detectors.estimation.family import FAMILIES, Matrix, isotonic
from detectors.estimation.given import Given
from detectors.estimation.isotonic import Curve
from detectors.quality.metric import Measured
from detectors.quality.rows import REGRESSION
from detectors.values import text_codes

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

ABSOLUTE, SQUARED = "absolute_error", "squared_error"
MOST_CATEGORIES = 250
"""The commonest categories of a column are told apart, so many of them."""
LEARNED_ROWS = 20_000
LARGEST = 1e150
"""What lies beyond is as large as this: the middle between two values must be a number."""


@dataclass(frozen=True, slots=True)
class Features:
    """The columns that errors are learned from, and each categorical one's known texts with their codes."""

    names: tuple[str, ...]
    codes: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, frame: pd.DataFrame, columns: Sequence[Column]) -> Features:
        used = [c for c in columns if not c.id_like and c.role in (Role.FEATURE, Role.PREDICTION)]
        codes: dict[str, dict[str, int]] = {}
        for column in used:
            if column.type is not ColumnType.NUMERIC:
                places, texts = text_codes(frame[column.name])
                counts = np.bincount(places[places >= 0], minlength=len(texts))
                commonest = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES].tolist()
                codes[column.name] = {texts[place]: code for code, place in enumerate(sorted(commonest))}
        return cls(tuple(column.name for column in used), codes)

    @property
    def categorical(self) -> list[bool]:
        return [name in self.codes for name in self.names]

    def matrix(self, frame: pd.DataFrame) -> Matrix:
        """One row each, one column a feature; NaN where a value is missing, infinite, or of no known category."""
        columns = []
        for name in self.names:
            if name in self.codes:
                places, texts = text_codes(frame[name])
                known = self.codes[name]
                columns.append(np.array([*(known.get(text, np.nan) for text in texts), np.nan], float)[places])
            else:
                numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
                columns.append(np.where(np.isfinite(numbers), np.clip(numbers, -LARGEST, LARGEST), np.nan))
        return np.column_stack(columns)


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """What error to expect of a prediction, as a multiple of the mean one."""

    features: Features
    regressor: HistGradientBoostingRegressor

    @classmethod
    def learned(cls, given: Given, columns: Sequence[Column]) -> ErrorModel:
        """Boosted trees over at most 20,000 rows; the same for the same rows. About a third of a second of one core."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        if len(given) > LEARNED_ROWS:
            given = given.take(np.sort(np.random.default_rng(0).permutation(len(given))[:LEARNED_ROWS]))
        features = Features.of(given.frame, columns)
        errors = _errors(given)
        relative = errors / max(float(errors.mean()), np.finfo(np.float64).tiny)
        regressor = HistGradientBoostingRegressor(
            loss="poisson",
            max_iter=60,
            max_leaf_nodes=15,
            min_samples_leaf=max(5, min(100, len(given) // 40)),
            categorical_features=features.categorical,
            early_stopping=False,
            random_state=0,
        )
        with _one_thread():
            return cls(features, regressor.fit(features.matrix(given.frame), relative))

    def __call__(self, frame: pd.DataFrame) -> Matrix:
        """The expected error of each row."""
        with _one_thread():
            return np.asarray(self.regressor.predict(self.features.matrix(frame)), dtype=np.float64)


class Regression:
    """The signal is the expected error, the targets are the absolute and the squared one."""

    learns = True

    def names(self, given: Given) -> tuple[str, ...]:  # noqa: ARG002
        return (ABSOLUTE, SQUARED)

    def learned(self, given: Given, columns: Sequence[Column]) -> ErrorModel:
        return ErrorModel.learned(given, columns)

    def signal(self, learned: ErrorModel, given: Given) -> Matrix:
        return np.repeat(learned(given.frame)[:, None], 2, axis=1) if len(given) else np.zeros((0, 2))

    def targets(self, given: Given) -> Matrix:
        errors = _errors(given)
        with np.errstate(over="ignore"):
            return np.column_stack([errors, errors**2])

    def unlearnable(self, given: Given) -> str | None:
        if len(np.unique(given.rows.labels)) < 2:
            return "every label is the same"
        targets = self.targets(given)
        if not targets[:, 0].any():
            return "every prediction is its label, so there is no error to learn from"
        return None if np.isfinite(targets.sum()) else "the errors are too large to be squared"

    def calibrated(self, names: Sequence[str], signal: Matrix, targets: Matrix) -> dict[str, Curve]:
        # One factor for the absolute error: what moves a whole window moves its rows by less than their own noise, and
        # a curve that is best for rows flattens it (flights, 300 to 20,000 rows: daily MAE 2.17-2.32 off with a factor,
        # 2.22-2.42 with a curve).
        absolute, squared = names
        factor = float(targets[:, 0].sum() / max(float(signal[:, 0].sum()), np.finfo(np.float64).tiny))
        return {absolute: Curve.factor(factor), **isotonic([squared], signal[:, 1:], targets[:, 1:])}

    def expected(self, signal: Matrix, curves: Mapping[str, Curve], given: Given) -> Matrix:  # noqa: ARG002
        return np.column_stack([curves[ABSOLUTE](signal[:, 0]), curves[SQUARED](signal[:, 1])])

    def estimates(self, given: Given, expected: Matrix) -> dict[str, Measured]:  # noqa: ARG002
        absolute = Measured.mean(expected[:, 0], (0.0, math.inf))
        squared = Measured.mean(expected[:, 1], (0.0, math.inf))
        root = math.sqrt(squared.value)
        error = squared.error / (2 * root) if root else 0.0
        return {"mae": absolute, "rmse": Measured.normal(root, error, squared.rows, (0.0, math.inf))}


def _errors(given: Given) -> Matrix:
    with np.errstate(over="ignore"):
        return np.asarray(np.abs(given.rows.predictions - given.rows.labels), dtype=np.float64)


def _one_thread() -> AbstractContextManager[object]:
    """Evaluations run beside each other, one process a core: each keeps to its own."""
    from threadpoolctl import threadpool_limits

    return cast("AbstractContextManager[object]", threadpool_limits(limits=1))


FAMILIES.add(REGRESSION, Regression())
