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
_OF_ROWS = (Kind.MISSING, Kind.NON_FINITE, Kind.MISTYPED)
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
        fine, coarse, beta = _Weights(), _Weights(), []
        owner: list[int] = []
        for place, column in enumerate(layout.columns):
            counts = reference.counts(column.name)
            first = len(self.items)
            for weight, coordinate in _drift(column, counts):
                fine.add(column.start, weight)
                coarse.add(column.coarse_start, _coarse_weight(column, counts, coordinate, weight))
                beta.append(_beta(coordinate, weight, counts))
                self.items.append(coordinate)
            if len(self.items) > first:
                self.tests[column.name] = slice(first, len(self.items))
            self.shares[column.name] = len(self.items)
            for kind in SHARES:
                fine.add(column.start, _share_weight(column, kind, column.body))
                coarse.add(column.coarse_start, _share_weight(column, kind, column.coarse_body))
                beta.append(ARCSINE_VARIANCE)
                self.items.append(Coordinate(column.name, kind))
            owner += [place] * (len(self.items) - first)
        self._owner = np.array(owner, dtype=np.int64)
        self._of_rows = np.array([c.kind in _OF_ROWS for c in self.items], dtype=bool)
        self.order = {name: i for i, name in enumerate(self.tests)}
        self.beta = np.array(beta, dtype=np.float64)
        self._linear = np.array([c.kind in _RANKS for c in self.items], dtype=bool)
        self._fine = fine.matrix(layout.cells), _bodies(layout, coarse=False)
        self._coarse = coarse.matrix(layout.coarse_cells), _bodies(layout, coarse=True)

    def __len__(self) -> int:
        return len(self.items)

    def of(self, profile: Profile) -> Values:
        """The coordinates of a profile's rows."""
        weights, bodies = self._fine
        return self._values(weights, bodies, profile.cells.dense(0, self.layout.cells), np.array(profile.rows))

    def of_segments(self, profile: Profile) -> Values:
        """The coordinates of every segment, one row each, in the order of the layout's segmentations."""
        size = self.layout.coarse_cells
        segments = self.layout.segment_starts[-1]
        dense = profile.segment_cells.dense(0, segments * size).reshape(segments, size)
        weights, bodies = self._coarse
        return self._values(weights, bodies, dense.T, dense[:, :1])

    def _values(self, weights: Any, bodies: Any, counts: NDArray[np.int64], rows: NDArray[np.int64]) -> Values:
        linear, present = (weights @ counts).T, (bodies @ counts).T
        n = np.where(self._of_rows, rows, present[..., self._owner])
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


class _Weights:
    """The rows of a sparse matrix: the weight of each cell in each coordinate."""

    def __init__(self) -> None:
        self._cells: list[NDArray[Any]] = []
        self._weights: list[NDArray[Any]] = []

    def add(self, start: int, weights: NDArray[np.float64]) -> None:
        used = np.flatnonzero(weights)
        self._cells.append(start + used)
        self._weights.append(weights[used])

    def matrix(self, cells: int) -> Any:
        ends = np.cumsum([0, *(len(part) for part in self._cells)])
        entries = np.concatenate(self._weights), np.concatenate(self._cells).astype(np.int64), ends
        return sparse.csr_array(entries, shape=(len(self._cells), cells))


def _bodies(layout: Layout, *, coarse: bool) -> Any:
    """A matrix that sums each column's body: its usable values."""
    sums = _Weights()
    for column in layout.columns:
        if coarse:
            sums.add(column.coarse_start, np.ones(column.coarse_body))
        else:
            sums.add(column.start, np.ones(column.body))
    return sums.matrix(layout.coarse_cells if coarse else layout.cells)


def _share_weight(column: NumericLayout | CategoricalLayout, kind: Kind, body: int) -> NDArray[np.float64]:
    weight = np.zeros(body + len(_OF_ROWS))
    if kind is not Kind.OUT_OF_RANGE:
        weight[body + _OF_ROWS.index(kind)] = 1.0
    elif isinstance(column, NumericLayout):
        weight[[0, body - 1]] = 1.0
    return weight


def _drift(
    column: NumericLayout | CategoricalLayout, counts: NDArray[np.int64]
) -> list[tuple[NDArray[np.float64], Coordinate]]:
    """The coordinates of the column's drift test, each with every body cell's weight; none without such a test."""
    if column.id_like or column.constant or not counts.any():
        return []
    name = column.name
    if isinstance(column, NumericLayout):
        group = column.decile[column.coarse]
        groups = range(len(column.decile_edges) + 1)
        rank = mid_ranks(counts)
        return [
            *(((group == i).astype(np.float64), Coordinate(name, Kind.DECILE, i)) for i in groups),
            (rank, Coordinate(name, Kind.RANK_MEAN)),
            (np.abs(rank - 0.5), Coordinate(name, Kind.RANK_SPREAD)),
        ]
    own = np.flatnonzero(counts[: len(column.vocabulary)] >= CATEGORY_SHARE * counts.sum())
    rest = np.ones(column.body)
    rest[own] = 0.0
    return [
        *((np.eye(1, column.body, i)[0], Coordinate(name, Kind.CATEGORY, i)) for i in own.tolist()),
        (rest, Coordinate(name, Kind.REST)),
    ]


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
