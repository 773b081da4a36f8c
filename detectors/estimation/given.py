"""The rows that an estimate is learned from or made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.columns import PREDICTION, SCORE
from detectors.frames import plain_values
from detectors.quality.reading import Terms, read_rows
from detectors.quality.rows import BINARY, MULTICLASS, Index, Logged


@dataclass(frozen=True, slots=True)
class Given:
    """Judged rows of one task (`JudgedRows`, `ClassRows`), their columns by name, and their places in what was read.

    Of classification every row has its scores. Rows without labels carry one that stands in; nothing may look at it.
    """

    rows: Any
    frame: pd.DataFrame
    places: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.places)

    def take(self, index: Index) -> Given:
        return Given(self.rows.take(index), self.frame.iloc[index], self.places[index])


def given_rows(
    frame: pd.DataFrame, terms: Terms, labels: NDArray[np.generic] | None, scores: NDArray[np.generic] | None = None
) -> Given | str:
    """The rows of a frame under canonical names that an estimate can use, or in words why there are none.

    `labels` is None where nobody knows them yet; `scores` holds each row's probabilities by class as JSON text.
    Raises ValueError when the task cannot be judged.
    """
    named = [plain_values(frame[name]) if name in frame.columns else None for name in (PREDICTION, SCORE)]
    if labels is None:
        labels = np.zeros(len(frame))
        if terms.task == MULTICLASS:
            labels = np.full(len(frame), terms.classes[0] if terms.classes else None, dtype=object)
    read = read_rows(Logged(labels, named[0], named[1], scores), terms)
    rows: Any = read.rows
    if terms.task not in (BINARY, MULTICLASS):
        return Given(rows, frame.iloc[read.places], read.places)
    if rows.scores is None:
        return str(rows.no_scores)
    finite = np.isfinite(rows.scores)
    known = finite if finite.ndim == 1 else finite.all(axis=1)
    return Given(rows.take(known), frame.iloc[read.places[known]], read.places[known])
