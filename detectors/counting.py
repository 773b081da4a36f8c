"""Counting a chunk of encoded rows into the layout's cells: the inner loop of a partial."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.layout import CategoricalLayout, Layout, NumericLayout
from detectors.rows import Encoder, Rows
from detectors.segments import segment_codes
from detectors.sparse import Counts

SUM, SQUARES, LOW, HIGH, MINIMUM, MAXIMUM = range(6)
"""Rows of the moments of numeric columns; the first four are sums of value - centre."""


def no_moments(columns: int) -> NDArray[np.float64]:
    """The moments of no rows."""
    moments = np.zeros((6, columns))
    moments[MINIMUM] = np.inf
    moments[MAXIMUM] = -np.inf
    return moments


class Counting:
    """The counts of one chunk of rows, column after column.

    `dense` is the global cell vector, `segment_cells` the sparse one over (segment, coarse cell), `moments` as in a
    profile, `strangers` the rows of each unseen value.
    """

    def __init__(self, layout: Layout, rows: Rows, encoder: Encoder, segments: bool) -> None:
        self._layout = layout
        self._rows = rows
        self._encoder = encoder
        self._n = len(rows)
        self.dense = np.zeros(layout.cells, dtype=np.int64)
        self.strangers: dict[str, dict[str, int]] = {}
        self._segments: _Segments | None = None
        if segments and layout.segmentations and self._n:
            codes = [
                segment_codes(layout, segmentation, rows) + start
                for segmentation, start in zip(layout.segmentations, layout.segment_starts, strict=False)
            ]
            self._segments = _Segments(layout, codes)
        found: list[tuple[float, ...]] = []
        with np.errstate(over="ignore", invalid="ignore"):
            for column in layout.columns:
                if isinstance(column, NumericLayout):
                    found.append(self._numeric(column))
                else:
                    self._categorical(column)
        self.moments = np.array(found, dtype=np.float64).reshape(-1, 6).T
        self.segment_cells = Counts.add([], 0) if self._segments is None else self._segments.counts()

    def _numeric(self, column: NumericLayout) -> tuple[float, ...]:
        values = self._rows.values[column.name]
        # Segments need to know which row each sorted value came from.
        order = None if self._segments is None else np.argsort(values)
        ordered = np.sort(values) if order is None else values[order]
        search = column.search
        place = np.empty(len(search) + 2, dtype=np.int64)
        place[0], place[-1] = 0, self._n
        place[1:-1] = ordered.searchsorted(search)
        start, end = column.start, column.start + column.body
        # place: nothing, -inf, the body's borders, +inf, missing, everything.
        np.subtract(place[2:-2], place[1:-3], out=self.dense[start:end])
        first, last = int(place[1]), int(place[-3])
        mask = self._mistyped(column, end, self._n - int(place[-2]))
        self.dense[end + 1] = first + int(place[-2]) - last
        if self._segments is not None and order is not None:
            self._segments.add_numbers(column, order, place, mask)
        if first == last:
            return (0.0, 0.0, 0.0, 0.0, np.inf, -np.inf)
        finite = ordered[first:last]
        centred = finite - column.centre
        low, high = int(self.dense[start]), int(self.dense[end - 1])
        return (
            float(np.add.reduce(centred)),
            # Not a dot product: BLAS would start threads for it, which spin against the rest of the daemon.
            float(np.add.reduce(centred * centred)),
            float(np.add.reduce(centred[:low])) if low else 0.0,
            float(np.add.reduce(centred[-high:])) if high else 0.0,
            float(finite[0]),
            float(finite[-1]),
        )

    def _categorical(self, column: CategoricalLayout) -> None:
        codes = self._rows.values[column.name]
        size = len(column.vocabulary)
        counts = np.bincount(codes + 1, minlength=size + 2)
        start, end = column.start, column.start + column.body
        self.dense[start : end - 1] = counts[1 : size + 2]
        strange = counts[size + 2 :]
        known: NDArray[np.bool_] | None = None
        if len(strange):
            known = self._encoder.known(column.name)[: len(strange)]
            self.dense[end - 2] += strange[known].sum()
            self.dense[end - 1] = strange[~known].sum()
            met = np.flatnonzero((strange > 0) & ~known)
            if len(met):
                texts = self._encoder.strangers(column.name)
                self.strangers[column.name] = {texts[i]: int(strange[i]) for i in met.tolist()}
        mask = self._mistyped(column, end, int(counts[0]))
        if self._segments is not None:
            self._segments.add_codes(column, codes, known, mask)

    def _mistyped(
        self, column: NumericLayout | CategoricalLayout, end: int, without_value: int
    ) -> NDArray[np.bool_] | None:
        mask = self._rows.mistyped.get(column.name)
        wrong = 0 if mask is None else int(np.count_nonzero(mask))
        self.dense[end] = without_value - wrong
        self.dense[end + 2] = wrong
        return mask


class _Segments:
    """Counts over (segment, coarse cell): one key for each row, column and segmentation, all counted at once.

    `codes` has each row's segment, once for each segmentation.
    """

    def __init__(self, layout: Layout, codes: list[NDArray[np.int64]]) -> None:
        self._space = layout.segment_starts[-1] * layout.coarse_cells
        self._starts = [part * layout.coarse_cells for part in codes]
        self._keys = np.empty((len(codes), len(layout.columns) + 1, len(codes[0])), dtype=np.int64)
        for keys, starts in zip(self._keys, self._starts, strict=True):
            keys[0] = starts  # the rows of each segment
        self._filled = 1

    def add_numbers(
        self,
        column: NumericLayout,
        order: NDArray[np.int64],
        place: NDArray[np.int64],
        mask: NDArray[np.bool_] | None,
    ) -> None:
        """Count a numeric column: `order` sorts its rows, `place` is where the fine borders fall among them."""
        borders = place[column.coarse_place]
        cell = np.repeat(column.coarse_cell, borders[1:] - borders[:-1])
        if mask is not None:
            cell[mask[order]] = column.coarse_start + column.coarse_body + 2
        for keys, starts in zip(self._keys, self._starts, strict=True):
            np.add(cell, starts[order], out=keys[self._filled])
        self._filled += 1

    def add_codes(
        self,
        column: CategoricalLayout,
        codes: NDArray[Any],
        known: NDArray[np.bool_] | None,
        mask: NDArray[np.bool_] | None,
    ) -> None:
        """Count a categorical column; `known` says for each stranger whether it is rest."""
        cells = column.coarse_of_code
        if known is not None:
            rest, unseen = column.coarse_start + column.coarse[-2:]
            cells = np.concatenate((cells[:-1], np.where(known, rest, unseen), cells[-1:]))
        cell = cells[codes]
        if mask is not None:
            cell[mask] = column.coarse_start + column.coarse_body + 2
        for keys, starts in zip(self._keys, self._starts, strict=True):
            np.add(cell, starts, out=keys[self._filled])
        self._filled += 1

    def counts(self) -> Counts:
        """The sparse vector over (segment, coarse cell)."""
        return Counts.of_keys(self._keys.ravel(), self._space)
