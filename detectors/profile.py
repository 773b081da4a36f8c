"""The mergeable summary of rows: one partial, or any number of partials merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.counting import HIGH, LOW, MAXIMUM, MINIMUM, SQUARES, SUM, Counting, no_moments
from detectors.errors import CorruptBlob
from detectors.layout import CategoricalLayout, Layout, NumericLayout
from detectors.packing import pack, pack_counts, unpack, unpack_counts
from detectors.rows import Encoder, Rows
from detectors.sparse import Counts
from detectors.values import text_hash

SegmentKey = tuple[int, int]
"""A segment: the segmentation's index in the layout, and the value's index in the segmentation."""

UNSEEN_KEPT = 64
"""So many unseen values of a column, those of lowest hash, are counted by name."""

CHUNK = 16_384
"""Rows are counted in chunks of this size: the keys of segments take 8 bytes for each row and column."""

_KIND = b"P\x01"


@dataclass(frozen=True, slots=True)
class Unseen:
    """Values of one column that the reference never had: rows in all, rows by value for the values kept, the others.

    The kept values are the `UNSEEN_KEPT` of lowest hash, whose counts are exact; `others` are the rows of the rest.
    """

    total: int
    kept: Mapping[str, int]
    others: int


@dataclass(frozen=True, eq=False)
class Profile:
    """The summary of rows under one layout; a partial is one.

    `cells` counts over the layout's global cell vector, `segment_cells` over (segment, coarse cell). `moments` has one
    column for each numeric column and the rows sum, sum of squares, sum in the low tail, sum in the high tail (all of
    value - centre), minimum, maximum (+inf and -inf where there is no value). `strangers` counts the kept unseen
    values.
    """

    layout: Layout
    rows: int
    cells: Counts
    segment_cells: Counts
    moments: NDArray[np.float64]
    strangers: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, layout: Layout, rows: Rows, encoder: Encoder, *, segments: bool = True) -> Profile:
        """The profile of rows that `encoder` encoded, with or without segments; they are not changed."""
        if len(rows) > CHUNK:
            chunks = [rows.take(slice(at, at + CHUNK)) for at in range(0, len(rows), CHUNK)]
            return cls.merge([cls.of(layout, chunk, encoder, segments=segments) for chunk in chunks])
        counting = Counting(layout, rows, encoder, segments)
        return cls(
            layout=layout,
            rows=len(rows),
            cells=Counts.of_dense(counting.dense),
            segment_cells=counting.segment_cells,
            moments=counting.moments,
            strangers={column: _lowest(counts) for column, counts in counting.strangers.items()},
        )

    @classmethod
    def empty(cls, layout: Layout) -> Profile:
        """The profile of no rows."""
        nothing = Counts.add([], 0)
        return cls(layout, 0, nothing, nothing, no_moments(len(layout.numeric)), {})

    @classmethod
    def merge(cls, parts: Sequence[Profile]) -> Profile:
        """The profile of all the parts' rows together, in any order and grouping (design.md, invariant 2).

        Raises ValueError without parts or when they are of different layouts.
        """
        if not parts:
            raise ValueError("no profiles to merge: use Profile.empty")
        layout = parts[0].layout
        if any(part.layout is not layout and part.layout.hash != layout.hash for part in parts):
            raise ValueError("profiles of different layouts cannot be merged")
        if len(parts) == 1:
            return parts[0]
        stacked = np.stack([part.moments for part in parts])
        with np.errstate(over="ignore", invalid="ignore"):
            moments = stacked.sum(axis=0)
        moments[MINIMUM] = stacked[:, MINIMUM].min(axis=0)
        moments[MAXIMUM] = stacked[:, MAXIMUM].max(axis=0)
        strangers: dict[str, dict[str, int]] = {}
        for part in parts:
            for column, kept in part.strangers.items():
                counts = strangers.setdefault(column, {})
                for text, count in kept.items():
                    counts[text] = counts.get(text, 0) + count
        return cls(
            layout=layout,
            rows=sum(part.rows for part in parts),
            cells=Counts.add([part.cells for part in parts], layout.cells),
            segment_cells=Counts.add([part.segment_cells for part in parts], _segment_space(layout)),
            moments=moments,
            strangers={column: _lowest(kept) for column, kept in strangers.items()},
        )

    def to_bytes(self) -> bytes:
        """The profile as a versioned, compressed blob; equal profiles give equal bytes."""
        present = self._present_numeric()
        one, many = present == 1, present > 1
        m = self.moments
        sections = pack_counts(self.cells.index, self.cells.count)
        sections += pack_counts(self.segment_cells.index, self.segment_cells.count)
        low, high = self._tails()
        # One value is its own minimum, maximum and sum, and empty tails have none: few rows make few bytes.
        floats = [
            m[MINIMUM][one],
            m[:2][:, many].ravel(),
            m[4:][:, many].ravel(),
            m[LOW][low > 0],
            m[HIGH][high > 0],
        ]
        sections.append(np.concatenate(floats).astype("<f8").tobytes())
        names = {column.name: i for i, column in enumerate(self.layout.columns)}
        unseen = {names[column]: kept for column, kept in self.strangers.items()}
        sections.append(msgspec.msgpack.encode([self.rows, dict(sorted(unseen.items()))]))
        return pack(_KIND, sections)

    @classmethod
    def from_bytes(cls, layout: Layout, data: bytes) -> Profile:
        """The profile that `to_bytes` wrote under the same layout; CorruptBlob when it is none."""
        gaps, counts, segment_gaps, segment_counts, floats, rest = unpack(_KIND, data, 6)
        cells = Counts(*unpack_counts(gaps, counts))
        segment_cells = Counts(*unpack_counts(segment_gaps, segment_counts))
        if len(cells.index) and cells.index[-1] >= layout.cells:
            raise CorruptBlob("a stored profile belongs to another layout")
        try:
            rows, unseen = msgspec.msgpack.decode(rest, strict=False)
            strangers = {layout.columns[int(i)].name: kept for i, kept in unseen.items()}
        except (msgspec.DecodeError, TypeError, ValueError, IndexError) as error:
            raise CorruptBlob(f"a stored profile is damaged ({error}); restore the store from a backup") from error
        profile = cls(layout, rows, cells, segment_cells, no_moments(len(layout.numeric)), strangers)
        profile._fill_moments(np.frombuffer(floats, dtype="<f8"))
        return profile

    def counts(self, column: str, segment: SegmentKey | None = None, *, coarse: bool = False) -> NDArray[np.int64]:
        """The column's body cells: `layout.column(column).body` of them for the total.

        For a segment, or with `coarse`, the coarse body cells.
        """
        at = self.layout.column(column)
        if segment is not None:
            return self._slice(at, segment)[: at.coarse_body]
        body = self._slice(at, None)[: at.body]
        return np.bincount(at.coarse, weights=body, minlength=at.coarse_body).astype(np.int64) if coarse else body

    def missing(self, column: str, segment: SegmentKey | None = None) -> int:
        """Rows where the column has no value."""
        return int(self._slice(self.layout.column(column), segment)[-3])

    def non_finite(self, column: str, segment: SegmentKey | None = None) -> int:
        """Rows where the column is infinite."""
        return int(self._slice(self.layout.column(column), segment)[-2])

    def mistyped(self, column: str, segment: SegmentKey | None = None) -> int:
        """Rows where the column's value was of the wrong type."""
        return int(self._slice(self.layout.column(column), segment)[-1])

    def present(self, column: str, segment: SegmentKey | None = None) -> int:
        """Rows where the column has a usable value."""
        return int(self._slice(self.layout.column(column), segment)[:-3].sum())

    def mean(self, column: str) -> float:
        """Mean of a numeric column's finite values; NaN when there is none."""
        at = self._numeric(column)
        n = self.present(column)
        return at.centre + float(self.moments[SUM, at.index]) / n if n else float("nan")

    def variance(self, column: str) -> float:
        """Variance (of the population) of a numeric column's finite values; NaN when there is none."""
        at = self._numeric(column)
        n = self.present(column)
        if n == 0:
            return float("nan")
        total, squares = float(self.moments[SUM, at.index]), float(self.moments[SQUARES, at.index])
        if not np.isfinite(squares):
            return float("inf")
        return max(0.0, squares / n - (total / n) ** 2)

    def minimum(self, column: str) -> float:
        """Least finite value of a numeric column; NaN when there is none."""
        value = float(self.moments[MINIMUM, self._numeric(column).index])
        return value if np.isfinite(value) else float("nan")

    def maximum(self, column: str) -> float:
        """Greatest finite value of a numeric column; NaN when there is none."""
        value = float(self.moments[MAXIMUM, self._numeric(column).index])
        return value if np.isfinite(value) else float("nan")

    def positions(self, column: str) -> NDArray[np.float64]:
        """The layout's cell positions of a numeric column, with this profile's own means in the open tails."""
        at = self._numeric(column)
        positions = at.positions.copy()
        counts = self.counts(column)
        for cell, row in ((0, LOW), (-1, HIGH)):
            if counts[cell]:
                positions[cell] = at.centre + self.moments[row, at.index] / counts[cell]
        return positions

    def unseen(self, column: str) -> Unseen:
        """The values of a categorical column that the reference never had; nothing for a numeric one."""
        at = self.layout.column(column)
        if isinstance(at, NumericLayout):
            return Unseen(0, {}, 0)
        total = int(self._slice(at, None)[at.body - 1])
        kept = self.strangers.get(column, {})
        return Unseen(total, kept, total - sum(kept.values()))

    def segments(self) -> list[SegmentKey]:
        """The segments that have rows, in order."""
        found = np.unique(self.segment_cells.index // self.layout.coarse_cells).tolist()
        starts = self.layout.segment_starts
        keys = []
        for place in found:
            segmentation = int(np.searchsorted(starts, place, side="right")) - 1
            keys.append((segmentation, place - starts[segmentation]))
        return keys

    @cached_property
    def _dense(self) -> NDArray[np.int64]:
        return self.cells.dense(0, self.layout.cells)

    def _slice(self, at: NumericLayout | CategoricalLayout, segment: SegmentKey | None) -> NDArray[np.int64]:
        if segment is None:
            return self._dense[at.start : at.start + at.width].copy()
        return self.segment_cells.dense(self._segment_start(segment) + at.coarse_start, at.coarse_width)

    def _segment_start(self, segment: SegmentKey) -> int:
        return (self.layout.segment_starts[segment[0]] + segment[1]) * self.layout.coarse_cells

    def _numeric(self, column: str) -> NumericLayout:
        at = self.layout.column(column)
        if not isinstance(at, NumericLayout):
            raise TypeError(f"column {column!r} is {at.type}: it has no mean, variance or range")
        return at

    def _present_numeric(self) -> NDArray[np.int64]:
        total = np.concatenate(([0], np.cumsum(self.cells.count)))
        starts, ends = (np.searchsorted(self.cells.index, bounds) for bounds in self.layout.numeric_bounds)
        return np.asarray(total[ends] - total[starts])

    def _tails(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which numeric columns have values in the low tail, and which in the high one."""
        starts, ends = self.layout.numeric_bounds
        index = np.append(self.cells.index, np.uint32(self.layout.cells))
        return index[np.searchsorted(index, starts)] == starts, index[np.searchsorted(index, ends - 1)] == ends - 1

    def _fill_moments(self, floats: NDArray[np.float64]) -> None:
        present = self._present_numeric()
        one, many = np.flatnonzero(present == 1), np.flatnonzero(present > 1)
        low, high = (np.flatnonzero(tail) for tail in self._tails())
        sizes = [len(one), 2 * len(many), 2 * len(many), len(low), len(high)]
        if sum(sizes) != len(floats):
            raise CorruptBlob("a stored profile is damaged; restore the store from a backup")
        single, sums, extremes, low_sums, high_sums = np.split(floats, np.cumsum(sizes)[:-1])
        centre = np.array([at.centre for at in self.layout.numeric])[one]
        m = self.moments
        m[MINIMUM, one] = m[MAXIMUM, one] = single
        with np.errstate(over="ignore"):
            m[SUM, one] = single - centre
            m[SQUARES, one] = m[SUM, one] ** 2
        m[:2, many] = sums.reshape(2, -1)
        m[4:, many] = extremes.reshape(2, -1)
        m[LOW, low] = low_sums
        m[HIGH, high] = high_sums


def _segment_space(layout: Layout) -> int:
    return layout.segment_starts[-1] * layout.coarse_cells


def _lowest(counts: Mapping[str, int]) -> dict[str, int]:
    """The `UNSEEN_KEPT` values of lowest hash, in that order: what is left does not depend on the grouping."""
    ranked = sorted(counts, key=lambda text: (text_hash(text), text))
    return {text: counts[text] for text in ranked[:UNSEEN_KEPT]}
