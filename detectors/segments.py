"""Which segment each row belongs to."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from detectors.layout import MISSING_VALUE, CategoricalLayout, Layout, NumericLayout, Segmentation
from detectors.rows import Rows


def segment_codes(layout: Layout, segmentation: Segmentation, rows: Rows) -> NDArray[np.int64]:
    """For each row the index of its segment in `segmentation`, which is one of `layout`'s; the last index is other."""
    tables = _TABLES.get(segmentation)
    if tables is None:
        tables = _TABLES[segmentation] = _Tables(layout, segmentation)
    return tables.codes(rows)


class _Tables:
    """From each column's code to a small number, and from the small numbers of all columns to the segment."""

    def __init__(self, layout: Layout, segmentation: Segmentation) -> None:
        self._columns: list[_Categories | _Numbers] = []
        places: list[dict[str, int]] = []
        for i, name in enumerate(segmentation.columns):
            texts = sorted({value[i] for value in segmentation.values})
            places.append({text: place for place, text in enumerate(texts)})
            column = layout.column(name)
            self._columns.append(
                _Numbers(column, texts) if isinstance(column, NumericLayout) else _Categories(column, places[-1])
            )
        self._shape = tuple(len(place) + 1 for place in places)
        self._segment = np.full(self._shape, segmentation.size - 1, dtype=np.int64)
        for index, value in enumerate(segmentation.values):
            self._segment[tuple(place[text] for place, text in zip(places, value, strict=True))] = index

    def codes(self, rows: Rows) -> NDArray[np.int64]:
        return np.asarray(self._segment[tuple(column.places(rows) for column in self._columns)])


class _Categories:
    def __init__(self, column: CategoricalLayout, place: dict[str, int]) -> None:
        self._name = column.name
        self._size = len(column.vocabulary)
        other = len(place)
        # Vocabulary, then one entry for anything else, then what a missing value's -1 picks.
        known = [place.get(text, other) for text in column.vocabulary]
        self._place = np.array([*known, other, place.get(MISSING_VALUE, other)], dtype=np.int64)

    def places(self, rows: Rows) -> NDArray[Any]:
        return np.asarray(self._place[np.minimum(rows.values[self._name], self._size)])


class _Numbers:
    def __init__(self, column: NumericLayout, texts: list[str]) -> None:
        self._name = column.name
        self._other = len(texts)
        values = {text: float(text) for text in texts if text != MISSING_VALUE}
        self._missing = texts.index(MISSING_VALUE) if MISSING_VALUE in texts else self._other
        ordered = sorted(values, key=lambda text: values[text])
        self._values = np.array([values[text] for text in ordered])
        self._place = np.array([*(texts.index(text) for text in ordered), self._other], dtype=np.int64)

    def places(self, rows: Rows) -> NDArray[Any]:
        x = rows.values[self._name]
        found = np.searchsorted(self._values, x)
        hit = np.append(self._values, np.nan)[found] == x
        place = np.where(hit, self._place[found], self._other)
        return np.where(np.isnan(x), self._missing, place)


_TABLES: WeakKeyDictionary[Segmentation, _Tables] = WeakKeyDictionary()
