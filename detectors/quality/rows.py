"""Predictions beside their labels: the shapes that quality metrics compute from, and how logged values become them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REGRESSION = "regression"
BINARY = "binary_classification"
MULTICLASS = "multiclass"
RECOMMENDATION = "recommendation"
TRUE = frozenset({"1", "true"})
FALSE = frozenset({"0", "false"})

FLAWED_SHARE = 0.01
"""Up to this share of rows a flaw leaves those rows out; with more of them what was logged means something else."""
NO_SCORES = "no scores between 0 and 1 were logged"

Index = NDArray[np.intp] | NDArray[np.bool_]


class Rows(Protocol):
    """Rows that can be judged, of one task."""

    def __len__(self) -> int: ...

    def take(self, index: Index) -> Self:
        """The rows that an index array or a mask picks."""
        ...

    def scored(self) -> Self | str:
        """The rows that have scores, or in words why none has."""
        ...


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with `rows` of the `of` rows that were looked at: a finding of the column's own.

    `metric` names the kind of flaw, `limit` is the share beyond which it is violated. The rows are left out of what the
    flaw makes impossible, and of nothing else.
    """

    metric: str
    column: str
    rows: int
    of: int
    detail: str | None = None
    limit: float = FLAWED_SHARE

    @property
    def share(self) -> float:
        """The flawed rows as a share in 0..1."""
        return self.rows / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """Rows with a usable prediction and label, as 1-d float64 arrays of one length.

    Regression: `predictions` and `labels` are numbers. Binary classification: both are 1.0 where positive and 0.0
    elsewhere, and `scores` are the probabilities of the positive class in 0..1, NaN where a row has none, or None
    where none is to be used, for the reason `no_scores`.
    """

    predictions: NDArray[np.float64]
    labels: NDArray[np.float64]
    scores: NDArray[np.float64] | None = None
    no_scores: str = NO_SCORES

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Index) -> JudgedRows:
        scores = None if self.scores is None else self.scores[index]
        return JudgedRows(self.predictions[index], self.labels[index], scores, self.no_scores)

    def scored(self) -> JudgedRows | str:
        if self.scores is None:
            return self.no_scores
        known = np.isfinite(self.scores)
        return self if bool(known.all()) else self.take(known)


@dataclass(frozen=True, slots=True)
class Logged:
    """What was logged of some rows, as 1-d arrays of one length, of numbers or of any values; None where nothing was.

    `scores` holds each row's probabilities by class, as JSON text. A recommender's predictions and labels are lists, as
    JSON text.
    """

    labels: NDArray[np.generic]
    predictions: NDArray[np.generic] | None = None
    score: NDArray[np.generic] | None = None
    scores: NDArray[np.generic] | None = None


@dataclass(frozen=True, slots=True)
class ReadRows:
    """The rows that can be judged, their places in the arrays given, and what was wrong with any."""

    rows: Rows
    places: NDArray[np.intp]
    flaws: tuple[Flaw, ...] = field(default=())


def regression_rows(logged: Logged) -> ReadRows:
    """The rows whose prediction and label are finite numbers."""
    if logged.predictions is None:
        raise ValueError("regression is judged by predictions, and none were given")
    given, truth = numbers(logged.predictions), numbers(logged.labels)
    places = np.flatnonzero(np.isfinite(given) & np.isfinite(truth))
    return ReadRows(JudgedRows(given[places], truth[places]), places)


def binary_rows(logged: Logged, positive_label: str = "1") -> ReadRows:
    """The rows that have a class, or a score, and a label.

    With scores alone positive is predicted from 0.5 on, and predictions that are numbers between 0 and 1, not only
    those two, are scores. A score outside 0..1 is a flaw; where more than 1 % are, no score is used: they are margins
    or logits, and no bound of a metric would hold.
    """
    predictions, probability = split_scores(logged)
    truth, usable = _positive(logged.labels, positive_label)
    if predictions is not None:
        given, present = _positive(predictions, positive_label)
        usable &= present
    elif probability is not None:
        given = (probability >= 0.5).astype(np.float64)
        usable &= ~np.isnan(probability)
    else:
        raise ValueError("binary classification is judged by predictions or scores, and neither was given")
    places = np.flatnonzero(usable)
    if probability is None:
        return ReadRows(JudgedRows(given[places], truth[places]), places)
    kept = probability[places]
    present = ~np.isnan(kept)
    outside = present & ((kept < 0) | (kept > 1))
    flaw = Flaw("invalid_scores", "score", int(np.count_nonzero(outside)), int(np.count_nonzero(present)))
    if not flaw.rows:
        return ReadRows(JudgedRows(given[places], truth[places], kept), places, (flaw,))
    reason = f"{flaw.rows} of {flaw.of} scores lie outside 0..1"
    flaw = Flaw(flaw.metric, flaw.column, flaw.rows, flaw.of, reason)
    scores = None if flaw.share > FLAWED_SHARE else np.where(outside, np.nan, kept)
    return ReadRows(
        JudgedRows(given[places], truth[places], scores, f"{reason}, so they are no probabilities"), places, (flaw,)
    )


def split_scores(logged: Logged) -> tuple[NDArray[np.generic] | None, NDArray[np.float64] | None]:
    """A binary classifier's predicted classes and its scores: numbers between 0 and 1 as predictions are scores."""
    predictions = logged.predictions
    probability = None if logged.score is None else numbers(logged.score)
    if probability is None and predictions is not None:
        values = numbers(predictions)
        known = values[np.isfinite(values)]
        if len(known) and known.min() >= 0 and known.max() <= 1 and np.any((known > 0) & (known < 1)):
            return None, values
    return predictions, probability


def numbers(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """The values as float64; NaN where one is no number."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    return np.asarray(pd.to_numeric(pd.Series(values, dtype=object), errors="coerce"), dtype=np.float64)


def _positive(values: NDArray[np.generic], positive: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """1.0 where a value is the positive label, and where it is present; 1, 1.0, "1", True and "true" are one value."""
    codes, distinct = pd.factorize(np.asarray(values, dtype=object) if values.dtype.kind not in "fiub" else values)
    wanted = canonical(positive)
    hits = np.array([canonical(value) == wanted for value in distinct] + [False], dtype=np.float64)
    return hits[codes], codes >= 0


def canonical(value: object) -> str:
    """A class as text; 1, 1.0, True and "true" are "1", and so with 0.

    >>> canonical(1.0), canonical(False), canonical("fraud")
    ('1', '0', 'fraud')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    text = str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)
    if text.lower() in TRUE:
        return "1"
    if text.lower() in FALSE:
        return "0"
    return text
