"""Rows of a multiclass model: classes as codes, and each row's probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.predicted import MAX_SCORED_CLASSES
from detectors.quality.rows import FLAWED_SHARE, NO_SCORES, Flaw, Index, Logged, ReadRows
from detectors.values import value_text

MAX_CLASSES = 1_000
"""A model with more classes than this is judged by something else than a table of all pairs of them."""
SUM_TOLERANCE = 1e-3
"""So far the probabilities of a row may be from summing to one."""
OTHER_CLASS = "(other)"
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class ClassRows:
    """Rows with a predicted class and a label, both as codes into `classes`; 1-d int64 arrays of one length.

    `scores` has a row for each of them and a column for each class, probabilities in 0..1 that sum to one; NaN where a
    row has none. It is None where none is to be used, for the reason `no_scores`.
    """

    predictions: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    scores: NDArray[np.float64] | None = None
    no_scores: str = NO_SCORES

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Index) -> ClassRows:
        scores = None if self.scores is None else self.scores[index]
        return ClassRows(self.predictions[index], self.labels[index], self.classes, scores, self.no_scores)

    def scored(self) -> ClassRows | str:
        if self.scores is None:
            return self.no_scores
        known = np.asarray(np.isfinite(self.scores).all(axis=1))
        return self if bool(known.all()) else self.take(known)


@dataclass(frozen=True, slots=True)
class _Scores:
    """Probabilities of all rows, NaN where a row has no valid ones; `classes` are the columns."""

    values: NDArray[np.float64]
    classes: tuple[str, ...]
    flaw: Flaw


def class_rows(logged: Logged, known: Sequence[str]) -> ReadRows:
    """The rows that have a predicted class and a label of a class that the model has.

    The model has the classes `known` from its reference, and those that its scores name. A label of another class is a
    flaw; a prediction of another one is wrong, whatever it is. Scores outside 0..1, or that do not sum to one within
    0.001, are a flaw: those rows are judged without them, and all are where more than 1 % of the scores are flawed.
    """
    if logged.predictions is None:
        raise ValueError("multiclass is judged by predictions, and none were given")
    scores = None if logged.scores is None else _read_scores(logged.scores, known)
    classes = tuple(dict.fromkeys(known)) if scores is None else scores.classes
    code = {name: i for i, name in enumerate(classes)}
    labels, label_texts = _coded(logged.labels, code, unknown=-2)
    predictions, _ = _coded(logged.predictions, code, unknown=len(classes))
    if bool(np.any(predictions == len(classes))):
        classes = (*classes, OTHER_CLASS)
    places = np.flatnonzero((labels >= 0) & (predictions >= 0))
    flaws = [_unknown(labels, label_texts)]
    kept, reason = None, NO_SCORES
    if scores is not None:
        flaws.append(scores.flaw)
        if scores.flaw.share > FLAWED_SHARE:
            reason = f"{scores.flaw.detail}, so they are no probabilities"
        elif len(scores.classes) > MAX_SCORED_CLASSES:
            reason = f"scores of more than {MAX_SCORED_CLASSES} classes are not judged"
        else:
            kept = np.zeros((len(places), len(classes)))
            kept[:, : scores.values.shape[1]] = scores.values[places]
    rows = ClassRows(predictions[places], labels[places], classes, kept, reason)
    return ReadRows(rows, places, tuple(flaws))


def class_texts(values: NDArray[np.generic]) -> NDArray[np.object_]:
    """Classes as text, None where missing: 2, 2.0 and "2" are one class."""
    codes, distinct = pd.factorize(np.asarray(values, dtype=object))
    return np.array([*map(value_text, distinct), None], dtype=object)[codes]


def _coded(
    values: NDArray[np.generic], code: dict[str, int], *, unknown: int
) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Each value's code: -1 where missing, `unknown` where it is of no class that has one; and the values as texts."""
    texts = class_texts(values)
    places, distinct = pd.factorize(texts)
    return np.array([*(code.get(text, unknown) for text in distinct), -1], dtype=np.int64)[places], texts


def _unknown(labels: NDArray[np.int64], texts: NDArray[np.object_]) -> Flaw:
    strange, present = labels == -2, int(np.count_nonzero(labels != -1))
    count = int(np.count_nonzero(strange))
    detail = None
    if count:
        names = sorted(set(texts[strange]))
        more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
        named = ", ".join(map(repr, names[:_EXAMPLES])) + more
        detail = f"{count} of {present} labels are of no class that the model has: {named}"
    return Flaw("unknown_labels", "label", count, present, detail)


def _read_scores(texts: NDArray[np.generic], known: Sequence[str]) -> _Scores:
    """Each row's probabilities: a class that a row does not name has none."""
    columns = {name: i for i, name in enumerate(dict.fromkeys(known))}
    decode = msgspec.json.Decoder(dict[str, float]).decode
    shapes: dict[tuple[str, ...], NDArray[np.intp]] = {}
    found: list[tuple[int, NDArray[np.intp], list[float]]] = []
    flawed = {"lie outside 0..1": 0, "do not sum to one": 0, "are no numbers": 0}
    present = 0
    for row, text in enumerate(texts.tolist()):
        if text is None:
            continue
        present += 1
        given = _numbers(decode, text)
        if given is None or not given:
            flawed["are no numbers"] += 1
            continue
        values = list(given.values())
        if min(values) < 0 or max(values) > 1:
            flawed["lie outside 0..1"] += 1
        elif abs(sum(values) - 1) > SUM_TOLERANCE:
            flawed["do not sum to one"] += 1
        else:
            names = tuple(given)
            place = shapes.get(names)
            if place is None:
                if len(columns) > MAX_CLASSES:
                    continue
                at = [columns.setdefault(name, len(columns)) for name in names]
                place = shapes[names] = np.array(at, dtype=np.intp)
            found.append((row, place, values))
    scores = np.zeros((len(texts), len(columns)) if len(columns) <= MAX_SCORED_CLASSES else (len(texts), 0))
    without = np.ones(len(texts), dtype=bool)
    if scores.shape[1]:
        for row, place, values in found:
            scores[row, place] = values
            without[row] = False
        scores[without] = np.nan
    count = sum(flawed.values())
    detail = ", ".join(f"{number} of {present} scores {what}" for what, number in flawed.items() if number) or None
    return _Scores(scores, tuple(columns), Flaw("invalid_scores", "scores", count, present, detail))


def _numbers(decode: Any, text: str) -> dict[str, float] | None:
    try:
        found: dict[str, float] = decode(text)
    except (msgspec.DecodeError, TypeError):
        return None
    return found
