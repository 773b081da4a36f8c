"""Two distributions on common points: the one shape that every drift method computes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Kind(StrEnum):
    """What the values of a column are to a drift method; booleans are categories."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


@dataclass(frozen=True, slots=True)
class Points:
    """Counts of a reference and of a window over the same distinct values, which hold no missing or infinite one.

    `values` ascend for a numeric column; the categories of a categorical one stand in any order. From rows every
    distinct value is a point, and a method's result is exact; from a profile's cells the points are the cells' means.
    `minimum` and `maximum` span both sides; `deviation` is the reference rows' standard deviation (divisor n).
    `integers` says that the rows were of an integer type, for which NumPy draws no bin narrower than 1.
    """

    kind: Kind
    values: NDArray[np.generic]
    reference: NDArray[np.float64]
    window: NDArray[np.float64]
    minimum: float = 0.0
    maximum: float = 0.0
    deviation: float = 0.0
    integers: bool = False

    @classmethod
    def of_rows(cls, reference: NDArray[np.generic], window: NDArray[np.generic], kind: Kind) -> Points:
        """The points of two 1-d arrays of rows."""
        if kind is Kind.CATEGORICAL:
            codes, values = pd.factorize(np.concatenate([reference.astype(object), window.astype(object)]))
            before = np.bincount(codes[: len(reference)], minlength=len(values)).astype(np.float64)
            after = np.bincount(codes[len(reference) :], minlength=len(values)).astype(np.float64)
            return cls(kind, np.asarray(values), before, after)
        both = np.concatenate([reference, window])
        values, codes = np.unique(both, return_inverse=True)
        before = np.bincount(codes[: len(reference)], minlength=len(values)).astype(np.float64)
        after = np.bincount(codes[len(reference) :], minlength=len(values)).astype(np.float64)
        low, high = (float(values[0]), float(values[-1])) if len(values) else (0.0, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = float(np.std(reference.astype(np.float64))) if len(reference) else 0.0
        return cls(kind, values, before, after, low, high, deviation, bool(np.issubdtype(both.dtype, np.integer)))

    @property
    def empty(self) -> bool:
        """Whether one side has no row, so that no distance exists."""
        return not (self.reference.any() and self.window.any())


_WIDEST = 1e307


def sturges_edges(minimum: float, maximum: float, rows: float, integers: bool = False) -> NDArray[np.float64]:
    """The edges of `numpy.histogram_bin_edges(rows, "sturges")`, from what that rule needs to know of the rows."""
    with np.errstate(over="ignore"):
        spread = float(np.float64(maximum) - np.float64(minimum))
    if spread == 0.0:
        return np.array([minimum - 0.5, maximum + 0.5])
    if spread > _WIDEST:
        # The edges themselves would overflow on the way.
        return sturges_edges(minimum / 4, maximum / 4, rows) * 4
    width = spread / (np.log2(rows) + 1.0)
    if integers and width < 1:
        width = 1.0
    edges = np.linspace(minimum, maximum, int(np.ceil(spread / width)) + 1)
    # Neighbouring floats cannot hold that many bins; NumPy raises here.
    return np.unique(edges) if np.any(edges[:-1] >= edges[1:]) else edges


def histogram(
    values: NDArray[np.generic], counts: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`numpy.histogram` of ascending values with counts: bins are closed below, the last one on both sides."""
    places = np.concatenate([np.searchsorted(values, edges[:-1], "left"), np.searchsorted(values, edges[-1:], "right")])
    return np.diff(np.concatenate([[0.0], np.cumsum(counts)])[places])


def shares(points: Points, *, fill: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evidently's binned shares of both sides (`get_binned_data`).

    A numeric column with more than 20 distinct reference values is cut at Sturges' edges of both sides together, every
    other column by value. `fill` replaces an empty bin, on each side apart, by a millionth of its smallest share if
    that is at most 1e-4, else by 1e-4, and does not normalise again.
    """
    before, after = points.reference, points.window
    rows_before, rows_after = before.sum(), after.sum()
    if points.kind is Kind.NUMERIC and np.count_nonzero(before) > 20:
        edges = sturges_edges(points.minimum, points.maximum, float(rows_before + rows_after), points.integers)
        before, after = histogram(points.values, before, edges), histogram(points.values, after, edges)
    else:
        used = (before > 0) | (after > 0)
        before, after = before[used], after[used]
    return _filled(before / rows_before, fill), _filled(after / rows_after, fill)


def _filled(share: NDArray[np.float64], fill: bool) -> NDArray[np.float64]:
    if not fill:
        return share
    smallest = share[share > 0].min()
    return np.where(share == 0, smallest / 10**6 if smallest <= 0.0001 else 0.0001, share)
