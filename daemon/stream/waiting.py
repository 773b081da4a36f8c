"""What becomes of a prediction that is no single value: the columns that stand for it, and the text that is kept of it
while it waits for its label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.stream.spec import Spec
from detectors.columns import LIST_LENGTH, PREDICTION
from detectors.predicted import MAX_ITEMS, MAX_SCORED_CLASSES, drawn_item, items_of, items_text, scored_text


@dataclass(frozen=True, slots=True)
class Unfolded:
    """The columns of some rows, the texts to keep, one a row, and of how many rows a part was cut off for its size."""

    columns: Mapping[str, Sequence[Any]]
    texts: Sequence[str | float | None]
    cut: int


Unfold = Callable[[NDArray[np.uint64], Mapping[str, Sequence[Any]]], Unfolded]
"""From the rows' identities and decoded columns."""


def unfolding(spec: Spec) -> Unfold | None:
    """How a spec's predictions are unfolded; None where each is a single value."""
    if spec.fields.lists:
        return _listed
    return _scored if spec.fields.scores is not None else None


def _scored(_: NDArray[np.uint64], columns: Mapping[str, Sequence[Any]]) -> Unfolded:
    scores = columns["scores"]
    texts = [scored_text(value, given) for value, given in zip(columns[PREDICTION], scores, strict=True)]
    return Unfolded(columns, texts, sum(given is not None and len(given) > MAX_SCORED_CLASSES for given in scores))


def _listed(identity: NDArray[np.uint64], columns: Mapping[str, Sequence[Any]]) -> Unfolded:
    lists = [items_of(value) for value in columns[PREDICTION]]
    cut = sum(items is not None and len(items) > MAX_ITEMS for items in lists)
    lists = [items if items is None else items[:MAX_ITEMS] for items in lists]
    drawn = [
        None if items is None else drawn_item(items, number)
        for items, number in zip(lists, identity.tolist(), strict=True)
    ]
    lengths = [None if items is None else float(len(items)) for items in lists]
    texts = [None if items is None else items_text(items) for items in lists]
    return Unfolded({**columns, PREDICTION: drawn, LIST_LENGTH: lengths}, texts, cut)
