"""Predictions beside their labels: the one shape that every quality metric computes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REGRESSION = "regression"
BINARY = "binary_classification"
TRUE = frozenset({"1", "true"})
FALSE = frozenset({"0", "false"})


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """Rows with a usable prediction and label, as 1-d float64 arrays of one length.

    Regression: `predictions` and `labels` are numbers. Binary classification: both are 1.0 where positive and 0.0
    elsewhere, and `scores` are the probabilities of the positive class in 0..1, or None where none were logged.
    """

    predictions: NDArray[np.float64]
    labels: NDArray[np.float64]
    scores: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> JudgedRows:
        scores = None if self.scores is None else self.scores[index]
        return JudgedRows(self.predictions[index], self.labels[index], scores)


def judged_rows(
    task: str,
    predictions: NDArray[np.generic] | None,
    labels: NDArray[np.generic],
    scores: NDArray[np.generic] | None = None,
    positive_label: str = "1",
) -> tuple[JudgedRows, NDArray[np.intp]]:
    """The rows of `task` that can be judged, and their places in the arrays given.

    Arrays are 1-d, of numbers or of any values. Binary classification with scores alone predicts positive from 0.5 on,
    and predictions that are numbers between 0 and 1, not only those two, are scores.
    """
    if task == REGRESSION:
        if predictions is None:
            raise ValueError("regression is judged by predictions, and none were given")
        given, truth = _numbers(predictions), _numbers(labels)
        places = np.flatnonzero(np.isfinite(given) & np.isfinite(truth))
        return JudgedRows(given[places], truth[places]), places
    if task != BINARY:
        raise ValueError(f"quality of task {task!r} cannot be measured; known: {REGRESSION}, {BINARY}")
    probability = None if scores is None else _numbers(scores)
    if probability is None and predictions is not None:
        numbers = _numbers(predictions)
        known = numbers[np.isfinite(numbers)]
        if len(known) and known.min() >= 0 and known.max() <= 1 and np.any((known > 0) & (known < 1)):
            probability, predictions = numbers, None
    truth, usable = _positive(labels, positive_label)
    if predictions is not None:
        given, present = _positive(predictions, positive_label)
        usable &= present
    elif probability is not None:
        given = (probability >= 0.5).astype(np.float64)
        usable &= np.isfinite(probability)
    else:
        raise ValueError("binary classification is judged by predictions or scores, and neither was given")
    if probability is not None:
        inside = (probability >= 0) & (probability <= 1)
        if np.any(usable & ~inside & np.isfinite(probability)):
            # Margins or logits: they are no probabilities, and no bound of a metric would hold.
            probability = None
        else:
            usable &= inside
    places = np.flatnonzero(usable)
    kept = None if probability is None else probability[places]
    return JudgedRows(given[places], truth[places], kept), places


def _numbers(values: NDArray[np.generic]) -> NDArray[np.float64]:
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    return np.asarray(pd.to_numeric(pd.Series(values, dtype=object), errors="coerce"), dtype=np.float64)


def _positive(values: NDArray[np.generic], positive: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """1.0 where a value is the positive label, and where it is present; 1, 1.0, "1", True and "true" are one value."""
    codes, distinct = pd.factorize(np.asarray(values, dtype=object) if values.dtype.kind not in "fiub" else values)
    wanted = _canonical(positive)
    hits = np.array([_canonical(value) == wanted for value in distinct] + [False], dtype=np.float64)
    return hits[codes], codes >= 0


def _canonical(value: object) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    text = str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)
    if text.lower() in TRUE:
        return "1"
    if text.lower() in FALSE:
        return "0"
    return text
