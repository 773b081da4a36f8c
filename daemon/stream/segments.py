"""The segment values of rows as JSON text, for predictions that wait for their labels."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.layout import MISSING_VALUE, OTHER_VALUE, CategoricalLayout, Layout
from detectors.rows import Rows
from detectors.values import value_text


def segment_texts(layout: Layout, rows: Rows) -> NDArray[np.object_]:
    """One JSON object a row: each column that segments are made by, with the row's value in it.

    A value that no segmentation of the layout names is "(other)". Without segmentations every object is empty.
    """
    names = sorted({name for segmentation in layout.segmentations for name in segmentation.columns})
    texts = np.empty(len(rows), dtype=object)
    if not names:
        texts[:] = "{}"
        return texts
    choices = [_choices(layout, name) for name in names]
    code = np.zeros(len(rows), dtype=np.int64)
    for name, known in zip(names, choices, strict=True):
        code = code * (len(known) + 1) + _places(layout, name, rows, known)
    distinct, which = np.unique(code, return_inverse=True)
    made = np.array([_text(names, choices, number) for number in distinct.tolist()], dtype=object)
    texts[:] = made[which]
    return texts


def _choices(layout: Layout, name: str) -> list[str]:
    found: set[str] = set()
    for segmentation in layout.segmentations:
        if name in segmentation.columns:
            place = segmentation.columns.index(name)
            found |= {value[place] for value in segmentation.values}
    return sorted(found)


def _places(layout: Layout, name: str, rows: Rows, known: list[str]) -> NDArray[np.int64]:
    """For each row the place of its value in `known`, or the length of that for any other."""
    column = layout.column(name)
    place = {text: i for i, text in enumerate(known)}
    other = len(known)
    missing = place.get(MISSING_VALUE, other)
    values: NDArray[Any] = rows.values[name]
    if isinstance(column, CategoricalLayout):
        # Vocabulary, one entry for everything beyond it, and last what a missing value's -1 picks.
        table = np.array([*(place.get(text, other) for text in column.vocabulary), other, missing])
        return np.asarray(table[np.minimum(values, len(column.vocabulary))])
    distinct, which = np.unique(values, return_inverse=True)
    table = np.array(
        [missing if v != v else place.get(value_text(v), other) for v in distinct.tolist()], dtype=np.int64
    )
    return np.asarray(table[which])


def _text(names: list[str], choices: list[list[str]], code: int) -> str:
    values: dict[str, str] = {}
    for name, known in zip(reversed(names), reversed(choices), strict=True):
        code, place = divmod(code, len(known) + 1)
        values[name] = known[place] if place < len(known) else OTHER_VALUE
    return msgspec.json.encode(values, order="sorted").decode()
