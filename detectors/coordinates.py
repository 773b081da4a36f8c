"""The coordinates of a window: what of its distribution is held against the reference's own windows.

A numeric column has the shares of the reference's deciles (ties joined), the mean rank and the rank spread; a
categorical one the share of each category of at least 1 % and of the rest; a boolean one both values and the rest.
Every column has besides the shares of missing, non-finite, mistyped and out-of-range values. Shares are transformed by
arcsin(sqrt((count + 0.375) / (n + 0.75))) (Anscombe 1948), whose variance is 1 / (4 n) wherever the share lies.
All are linear in the counts before that, so one sparse product gives the coordinates of every column at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from detectors.layout import CategoricalLayout, Layout, NumericLayout
from detectors.profile import Profile

CATEGORY_SHARE = 0.01
"""Categories of at least this share of the reference have a coordinate of their own."""
ARCSINE_VARIANCE = 0.25


class Kind(StrEnum):
    """What one coordinate measures."""

    DECILE = "decile"
    RANK_MEAN = "rank_mean"
    RANK_SPREAD = "rank_spread"
    CATEGORY = "category"
    REST = "rest"
    MISSING = "missing"
    NON_FINITE = "non_finite"
    MISTYPED = "mistyped"
    OUT_OF_RANGE = "out_of_range"


_RANKS = (Kind.RANK_MEAN, Kind.RANK_SPREAD)
SHARES = (Kind.MISSING, Kind.NON_FINITE, Kind.MISTYPED, Kind.OUT_OF_RANGE)
"""The coordinates that every column has; they are shares of rows, or of usable values for OUT_OF_RANGE."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One coordinate: its column, its kind, and which decile group or category it is the share of."""

    column: str
    kind: Kind
    index: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Values:
    """Coordinates and what they were computed from, along the last axis; NaN where a column has no value.

    `n` is the number of rows, or usable values, behind each coordinate.
    """

    y: NDArray[np.float64]
    n: NDArray[np.float64]


class Coordinates:
    """The coordinates of every column of one layout, with ranks and shares as in one reference profile."""

    def __init__(self, layout: Layout, reference: Profile) -> None:
        self.layout = layout
        self.items: list[Coordinate] = []
        self.tests: dict[str, slice] = {}
        self.shares: dict[str, int] = {}
        fine, coarse, beta = _Rows(), _Rows(), []
        for column in layout.columns:
            counts = reference.counts(column.name)
            first = len(self.items)
            weights, kinds = _weights(column, counts)
            for weight, coordinate in zip(weights, kinds, strict=True):
                fine.add(column.start, weight, column.start, column.body)
                coarse.add(
                    column.coarse_start,
                    _coarse_weight(column, counts, coordinate, weight),
                    column.coarse_start,
                    column.coarse_body,
                )
                beta.append(_beta(coordinate, weight, counts))
                self.items.append(coordinate)
            if len(self.items) > first:
                self.tests[column.name] = slice(first, len(self.items))
            self.shares[column.name] = len(self.items)
            for place, kind in enumerate(SHARES):
                for rows, start, body in (
                    (fine, column.start, column.body),
                    (coarse, column.coarse_start, column.coarse_body),
                ):
                    if kind is Kind.OUT_OF_RANGE:
                        weight = np.zeros(body)
                        if isinstance(column, NumericLayout):
                            weight[[0, -1]] = 1.0
                        rows.add(start, weight, start, body)
                    else:
                        rows.add(start + body + place, np.ones(1), start, body + 3)
                beta.append(ARCSINE_VARIANCE)
                self.items.append(Coordinate(column.name, kind))
        self.beta = np.array(beta, dtype=np.float64)
        self._linear = np.array([c.kind in _RANKS for c in self.items], dtype=bool)
        self._fine = fine.matrices(layout.cells)
        self._coarse = coarse.matrices(layout.coarse_cells)

    def __len__(self) -> int:
        return len(self.items)

    def of(self, profile: Profile) -> Values:
        """The coordinates of a profile's rows."""
        return self._values(*self._fine, profile.cells.dense(0, self.layout.cells))

    def of_segments(self, profile: Profile) -> Values:
        """The coordinates of every segment, one row each, in the order of the layout's segmentations."""
        size = self.layout.coarse_cells
        segments = self.layout.segment_starts[-1]
        dense = profile.segment_cells.dense(0, segments * size).reshape(segments, size)
        return self._values(*self._coarse, dense.T)

    def _values(self, weights: Any, totals: Any, counts: NDArray[np.int64]) -> Values:
        linear, n = (weights @ counts).T, (totals @ counts).T
        with np.errstate(divide="ignore", invalid="ignore"):
            # A sum of weights can exceed its total by a rounding error.
            y = np.arcsin(np.sqrt(np.clip((linear + 0.375) / (n + 0.75), 0.0, 1.0)))
            y[..., self._linear] = (linear / n)[..., self._linear]
        return Values(np.where(n > 0, y, np.nan), n)


def share(y: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The share that an arcsine coordinate stands for."""
    return np.asarray(np.sin(y) ** 2)


def mid_ranks(counts: NDArray[Any]) -> NDArray[np.float64]:
    """The mid-distribution function at each cell: the share below it and half of its own."""
    total = counts.sum()
    return np.asarray((np.cumsum(counts) - counts / 2) / total)


class _Rows:
    """The rows of two sparse matrices: the weights of each coordinate, and the cells that its n is the sum of."""

    def __init__(self) -> None:
        self._columns: list[NDArray[Any]] = []
        self._weights: list[NDArray[Any]] = []
        self._totals: list[NDArray[Any]] = []

    def add(self, start: int, weights: NDArray[np.float64], total_start: int, total_width: int) -> None:
        used = np.flatnonzero(weights)
        self._columns.append(start + used)
        self._weights.append(weights[used])
        self._totals.append(np.arange(total_start, total_start + total_width))

    def matrices(self, cells: int) -> tuple[Any, Any]:
        shape = (len(self._columns), cells)
        ones = [np.ones(len(columns)) for columns in self._totals]
        return _csr(self._columns, self._weights, shape), _csr(self._totals, ones, shape)


def _csr(columns: list[NDArray[Any]], weights: list[NDArray[Any]], shape: tuple[int, int]) -> Any:
    ends = np.cumsum([0, *(len(part) for part in columns)])
    empty = [np.empty(0)]
    data, index = np.concatenate([*weights, *empty]), np.concatenate([*columns, *empty]).astype(np.int64)
    return sparse.csr_array((data, index, ends), shape=shape)


def _weights(
    column: NumericLayout | CategoricalLayout, counts: NDArray[np.int64]
) -> tuple[list[NDArray[np.float64]], list[Coordinate]]:
    """The weight of each body cell in each coordinate of the column's drift test; none when it has no such test."""
    if column.id_like or column.constant or not counts.any():
        return [], []
    name = column.name
    if isinstance(column, NumericLayout):
        group = column.decile[column.coarse]
        weights = [(group == i).astype(np.float64) for i in range(len(column.decile_edges) + 1)]
        kinds = [Coordinate(name, Kind.DECILE, i) for i in range(len(weights))]
        rank = mid_ranks(counts)
        return [*weights, rank, np.abs(rank - 0.5)], [
            *kinds,
            Coordinate(name, Kind.RANK_MEAN),
            Coordinate(name, Kind.RANK_SPREAD),
        ]
    total = counts.sum()
    own = np.flatnonzero(counts[: len(column.vocabulary)] >= CATEGORY_SHARE * total)
    weights = [np.eye(1, column.body, int(i))[0] for i in own]
    kinds = [Coordinate(name, Kind.CATEGORY, int(i)) for i in own]
    rest = np.ones(column.body)
    rest[own] = 0.0
    return [*weights, rest], [*kinds, Coordinate(name, Kind.REST)]


def _coarse_weight(
    column: NumericLayout | CategoricalLayout,
    counts: NDArray[np.int64],
    coordinate: Coordinate,
    weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    if coordinate.kind in _RANKS:
        merged = np.bincount(column.coarse, weights=counts, minlength=column.coarse_body)
        rank = mid_ranks(merged)
        return rank if coordinate.kind is Kind.RANK_MEAN else np.abs(rank - 0.5)
    # Shares: a coarse cell lies in one decile group and holds one category of 1 % or none, so any of its cells tells.
    out = np.zeros(column.coarse_body)
    out[column.coarse] = weight
    return out


def _beta(coordinate: Coordinate, weight: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    if coordinate.kind not in _RANKS:
        return ARCSINE_VARIANCE
    mean = np.average(weight, weights=counts)
    return float(np.average((weight - mean) ** 2, weights=counts))
