"""The `auto` distances on cells: Wasserstein-1 over the robust sigma, total variation, share that differs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.layout import CategoricalLayout, NumericLayout
from detectors.profile import Profile, SegmentKey


def auto_distance(
    reference: Profile,
    window: Profile,
    column: str,
    segment: SegmentKey | None = None,
    positions: NDArray[np.float64] | None = None,
) -> float:
    """How far the column's values in a window are from the reference's; NaN where one of the two has none.

    Wasserstein-1 in robust sigmas for a numeric column, total variation (0..1) for a categorical one; for a column
    that is constant in the reference the share of values that differ from it (0..1).
    """
    at = window.layout.column(column)
    before, after = reference.counts(column, segment), window.counts(column, segment)
    if not before.any() or not after.any():
        return float("nan")
    if at.constant:
        return differing(before, after)
    if isinstance(at, CategoricalLayout):
        return float(total_variation(before, after))
    if segment is None:
        positions = window.positions(column)
    elif positions is None:
        positions = coarse_positions(at, reference.counts(column))
    return float(wasserstein(before, after, positions)) / at.sigma


def differing(before: NDArray[np.int64], after: NDArray[np.int64]) -> float:
    """The share of a window's values outside the one cell that holds a constant reference."""
    return 1.0 - float(after[int(np.argmax(before))] / after.sum())


def total_variation(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float64]:
    """Half the sum of the absolute differences of shares; `after` may hold several windows, one a row."""
    shares = after / after.sum(axis=-1, keepdims=True)
    return np.asarray(np.abs(shares - before / before.sum()).sum(axis=-1) / 2)


def wasserstein(before: NDArray[Any], after: NDArray[Any], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wasserstein-1 between counts at ascending positions; `after` may hold several windows, one a row."""
    reached = np.cumsum(after / after.sum(axis=-1, keepdims=True) - before / before.sum(), axis=-1)[..., :-1]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((np.abs(reached) * np.diff(positions)).sum(axis=-1))


def coarse_positions(column: NumericLayout, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Positions of the coarse cells: the reference's means in them, from its (fine) counts."""
    weights = np.where(np.bincount(column.coarse, weights=counts)[column.coarse] > 0, counts, 1.0)
    total = np.bincount(column.coarse, weights=weights)
    with np.errstate(over="ignore"):
        return np.asarray(np.bincount(column.coarse, weights=weights / total[column.coarse] * column.positions))
