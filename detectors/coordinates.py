"""The coordinates of a window: what of its distribution is held against the reference's own windows.

A numeric column has the shares of the reference's deciles (ties joined), the mean rank and the rank spread; a
categorical one the share of each category of at least 1 % and of the rest; a boolean one both values and the rest.
Where the rest is many categories its own place is taken by ten groups of all categories, formed by hash: a rest that is
chosen by the reference's counts is rarer in the reference than it really is, and hides what moves inside it.
Every column has besides the shares of missing, non-finite, mistyped and out-of-range values. Shares are transformed by
arcsin(sqrt((count + 0.375) / (n + 0.75))) (Anscombe 1948), whose variance is 1 / (4 n) wherever the share lies.
All are linear in the counts before that, so one sparse product gives the coordinates of every column at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from detectors.layout import CategoricalLayout, Layout, NumericLayout
from detectors.profile import Profile
from detectors.values import text_hashes

CATEGORY_SHARE = 0.01
"""Categories of at least this share of the reference have a coordinate of their own."""
GROUPS = 10
"""A rest of more categories than this is watched in so many groups."""
ARCSINE_VARIANCE = 0.25


class Kind(StrEnum):
    """What one coordinate measures."""

    DECILE = "decile"
    RANK_MEAN = "rank_mean"
    RANK_SPREAD = "rank_spread"
    CATEGORY = "category"
    REST = "rest"
    GROUP = "group"
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
        fine, coarse = _Weights(), _Weights()
        beta: list[float] = []
        row: list[float] = []
        owner: list[int] = []
        for place, column in enumerate(layout.columns):
            counts = reference.counts(column.name)
            first = len(self.items)
            for weight, coordinate in _drift(column, counts):
                fine.add(column.start, weight)
                coarse.add(column.coarse_start, _coarse_weight(column, counts, coordinate, weight))
                beta.append(_beta(coordinate, weight, counts))
                row.append(_row(coordinate, weight, counts))
                self.items.append(coordinate)
            if len(self.items) > first:
                self.tests[column.name] = slice(first, len(self.items))
            self.shares[column.name] = len(self.items)
            for kind in SHARES:
                fine.add(column.start, _share_weight(column, kind, column.body))
                coarse.add(column.coarse_start, _share_weight(column, kind, column.coarse_body))
                beta.append(ARCSINE_VARIANCE)
                row.append(0.0)
                self.items.append(Coordinate(column.name, kind))
            owner += [place] * (len(self.items) - first)
        self._owner = np.array(owner, dtype=np.int64)
        self._of_rows = np.array([c.kind in _OF_ROWS for c in self.items], dtype=bool)
        self.order = {name: i for i, name in enumerate(self.tests)}
        self.beta = np.array(beta, dtype=np.float64)
        self._row = np.array(row, dtype=np.float64)
        self.parts = np.ones(len(self.items))
        for group in self.tests.values():
            self.parts[group] = _level_parts(self.items[group])
        self.linear = np.array([c.kind in _RANKS for c in self.items], dtype=bool)
        self._fine = fine.matrix(layout.cells), _bodies(layout, coarse=False)
        self._coarse = coarse.matrix(layout.coarse_cells), _bodies(layout, coarse=True)

    def __len__(self) -> int:
        return len(self.items)

    def chance(self, n: NDArray[np.float64]) -> NDArray[np.float64]:
        """The variance that chance alone gives each coordinate over n rows; infinite without rows.

        A mean of ranks moves in steps of a row: where 999 of 1,000 values are one and the same, the first other one is
        no news. So its variance is not less than what the oddest row alone makes of it.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.beta / n + self._row / n**2)

    def at(
        self, y: NDArray[np.float64], before: NDArray[np.float64], after: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Coordinates of `before` rows as they would be of `after` rows."""
        return np.where(self.linear, y, rebased(y, before, after))

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
            y[..., self.linear] = (linear / n)[..., self.linear]
        return Values(np.where(n > 0, y, np.nan), n)


def share(y: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The share that an arcsine coordinate stands for."""
    return np.asarray(np.sin(y) ** 2)


def rebased(y: NDArray[np.float64], before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """What arcsine coordinates of `before` rows are where the same shares are those of `after` rows.

    The 0.375 of the transform weighs more in few rows: no missing value in 300 rows is another y than none in 100,000.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = np.clip((share(y) * (before + 0.75) - 0.375) / before, 0.0, 1.0)
        return np.asarray(np.arcsin(np.sqrt((plain * after + 0.375) / (after + 0.75))))


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
        if len(groups) <= 2:
            # A single group's share says nothing, and two that add up to one are one test.
            groups = groups[1:]
        rank = mid_ranks(counts)
        return [
            *(((group == i).astype(np.float64), Coordinate(name, Kind.DECILE, i)) for i in groups),
            (rank, Coordinate(name, Kind.RANK_MEAN)),
            (np.abs(rank - 0.5), Coordinate(name, Kind.RANK_SPREAD)),
        ]
    own = np.flatnonzero(counts[: len(column.vocabulary)] >= CATEGORY_SHARE * counts.sum())
    each = [(np.eye(1, column.body, i)[0], Coordinate(name, Kind.CATEGORY, i)) for i in own.tolist()]
    if len(column.vocabulary) - len(own) > GROUPS:
        return [*each, *((weight, Coordinate(name, Kind.GROUP, i)) for i, weight in enumerate(group_weights(column)))]
    rest = np.ones(column.body)
    rest[own] = 0.0
    if counts @ rest > 0:
        return [*each, (rest, Coordinate(name, Kind.REST))]
    # Two shares that add up to one are one test. The second is the rarer one, or `true`.
    return each[1:] if len(each) == 2 else each


def group_weights(column: CategoricalLayout) -> NDArray[np.float64]:
    """Which body cells each group holds, one row a group; unseen values are in none, they have a check of their own."""
    member = np.zeros((GROUPS, column.body))
    places = (text_hashes(column.vocabulary) % np.uint64(GROUPS)).astype(np.int64)
    member[places, np.arange(len(places))] = 1.0
    member[0, len(places)] = 1.0  # what the vocabulary's cap cut off
    return member


def _level_parts(items: Sequence[Coordinate]) -> NDArray[np.float64]:
    """The part of its column's level that each coordinate of a test has (weighted Bonferroni); they add up to one.

    Half of it is for the mean rank of a number: it is what a shift of the whole column moves most, and ten deciles
    beside it would cost most of its power.
    """
    deciles = sum(item.kind is Kind.DECILE for item in items)
    weight = {Kind.RANK_MEAN: 4.0, Kind.RANK_SPREAD: 1.0, Kind.DECILE: 3.0 / max(1, deciles)}
    parts = np.array([weight.get(item.kind, 1.0) for item in items])
    return np.asarray(parts / parts.sum())


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
    # A coarse cell lies in one decile group and holds one category of 1 % or none; only of a group it may hold a part.
    weights = np.where(np.bincount(column.coarse, weights=counts)[column.coarse] > 0, counts, 1.0)
    return np.bincount(column.coarse, weights=weights * weight) / np.bincount(column.coarse, weights=weights)


def _beta(coordinate: Coordinate, weight: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    if coordinate.kind not in _RANKS:
        return ARCSINE_VARIANCE
    mean = np.average(weight, weights=counts)
    return float(np.average((weight - mean) ** 2, weights=counts))


def _row(coordinate: Coordinate, weight: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """The square of the most that one row adds to a sum of ranks; a transformed share has no such steps."""
    if coordinate.kind not in _RANKS:
        return 0.0
    return float(np.max(np.abs(weight - np.average(weight, weights=counts)))) ** 2
