"""How large a column's drift is: the first of the two questions, by the method that the column's rule names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.distances import differing, total_variation, wasserstein
from detectors.drift import METHODS, DriftMethod, Kind, Points, Worse
from detectors.drift.bridge import is_evidently, run_evidently
from detectors.layout import CategoricalLayout, NumericLayout
from detectors.noise import Noise
from detectors.profile import Profile
from detectors.reference import Reference
from detectors.rules import ColumnRule

ROBUST_WASSERSTEIN, TVD, DIFFERING = "robust_wasserstein", "tvd", "differing"
DIFFERING_LIMIT = 0.025
"""A column that was constant in the reference matters when so many of its values differ."""

_REACH = float(np.finfo(np.float64).max) / 4


@dataclass(frozen=True, slots=True)
class Size:
    """A drift value in the unit of `metric`, its limit, and whether it is beyond it; NaN where there is no value."""

    metric: str
    value: float
    threshold: float
    large: bool
    noise_floor: float | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Columns:
    """Rows of the window and of the reference, when exact values can be had from them."""

    reference: pd.DataFrame
    window: pd.DataFrame

    def pair(self, name: str, kind: Kind) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        """The usable values of one column in both."""
        return usable(self.reference[name], kind), usable(self.window[name], kind)


def usable(series: pd.Series, kind: Kind) -> NDArray[np.generic]:
    """The values that are neither missing nor infinite."""
    values = series.to_numpy()
    return values[np.isfinite(values)] if kind is Kind.NUMERIC else values[~pd.isna(values)]


def kind_of(column: NumericLayout | CategoricalLayout) -> Kind:
    """What the column is to a drift method."""
    return Kind.NUMERIC if isinstance(column, NumericLayout) else Kind.CATEGORICAL


def measure(
    column: NumericLayout | CategoricalLayout,
    profile: Profile,
    noise: Noise,
    rule: ColumnRule,
    rows: Columns | None,
    exact: bool,
) -> Size:
    """The size of a column's drift in a whole window.

    `auto` is computed from the cells: its error, 0.0014 sigma, is far below its limit. A named method is computed from
    the rows where those are all of both sides (`exact`), else from the cells at Evidently's edges; a test of
    Evidently's from the rows, be they a sample or all.
    Raises LookupError when the rule names no method for this type of column.
    """
    reference = noise.reference
    before, after = reference.profile.counts(column.name), profile.counts(column.name)
    if column.constant:
        value = differing(before, after)
        return Size(DIFFERING, value, DIFFERING_LIMIT, value >= DIFFERING_LIMIT)
    if rule.method == "auto":
        if isinstance(column, NumericLayout):
            value = float(wasserstein(before, after, _within_reach(profile.positions(column.name)))) / column.sigma
        else:
            value = float(total_variation(before, after))
        return _automatic(column, value, rule, noise.floor(column.name))
    kind = kind_of(column)
    if is_evidently(rule.method):
        if rows is None:
            raise LookupError(f"{rule.method} needs rows, and no sample was kept")
        found = run_evidently(rule.method, *rows.pair(column.name, kind), kind, rule.threshold)
        return Size(rule.method, found.value, found.threshold, found.drifted)
    method = METHODS[rule.method]
    threshold = limit_of(method, kind, rule)
    if exact and rows is not None:
        value = method.exact(*rows.pair(column.name, kind), kind)
    else:
        value = method.from_cells(points(column, reference.profile, profile))
    floor = _floor(column, method, reference)
    return Size(method.name, value, threshold, method.exceeds(value, threshold), floor)


def _floor(column: NumericLayout | CategoricalLayout, method: DriftMethod, reference: Reference) -> float | None:
    """What 95 % of the reference's own windows stay on the better side of."""
    # The reference remembers the 95th percentile; of p-values, which are worse when small, it must be the 5th.
    sign = 1.0 if method.worse is Worse.HIGHER else -1.0

    def measured(window: Profile) -> float:
        return sign * method.from_cells(points(column, reference.profile, window))

    floor = reference.noise_floor(method.name, column.name, measured)
    return None if floor is None else sign * floor


def limit_of(method: DriftMethod, kind: Kind, rule: ColumnRule) -> float:
    """The rule's threshold, else the method's customary one; LookupError when the method is not for such columns."""
    if kind not in method.thresholds:
        others = [m.name for m in METHODS if kind in m.thresholds]
        raise LookupError(f"method {method.name!r} is not for {kind} columns; these are: {', '.join(others)}")
    return method.thresholds[kind] if rule.threshold is None else rule.threshold


def points(column: NumericLayout | CategoricalLayout, reference: Profile, window: Profile) -> Points:
    """A column's cells on both sides as the points of a drift method."""
    before, after = reference.counts(column.name), window.counts(column.name)
    if isinstance(column, CategoricalLayout):
        # Rest and unseen stand behind every real category.
        texts = np.array([*column.vocabulary, "\uffff", "\uffff\uffff"], dtype=object)
        return Points(Kind.CATEGORICAL, texts, before.astype(np.float64), after.astype(np.float64))
    low = np.fmin(reference.minimum(column.name), window.minimum(column.name))
    high = np.fmax(reference.maximum(column.name), window.maximum(column.name))
    return Points(
        Kind.NUMERIC,
        window.positions(column.name),
        before.astype(np.float64),
        after.astype(np.float64),
        float(low),
        float(high),
        math.sqrt(reference.variance(column.name)),
    )


def measure_segments(
    column: NumericLayout | CategoricalLayout,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    reference: Reference,
    rule: ColumnRule,
) -> list[Size]:
    """The sizes of a column's drift in many segments, each against its own rows of the reference.

    `before` and `after` hold the coarse body cells, one row a segment; both have a value in every row. Segments keep
    no sample and no range, so a test of Evidently's gives way to `auto` here.
    """
    positions = reference.coarse_positions(column.name) if isinstance(column, NumericLayout) else None
    if column.constant:
        place = int(np.argmax(before.sum(axis=0)))
        values = 1.0 - after[:, place] / after.sum(axis=1)
        return [Size(DIFFERING, v, DIFFERING_LIMIT, v >= DIFFERING_LIMIT) for v in values.tolist()]
    if rule.method == "auto" or is_evidently(rule.method):
        shares = before / before.sum(axis=1, keepdims=True)
        moved = after / after.sum(axis=1, keepdims=True) - shares
        if isinstance(column, NumericLayout) and positions is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                values = np.abs(np.cumsum(moved, axis=1)[:, :-1]) @ np.diff(positions) / column.sigma
        else:
            values = np.abs(moved).sum(axis=1) / 2
        plain = rule if rule.method == "auto" else ColumnRule()
        return [_automatic(column, value, plain, None) for value in values.tolist()]
    method, kind = METHODS[rule.method], kind_of(column)
    threshold = limit_of(method, kind, rule)
    sizes = []
    for one, other in zip(before.astype(np.float64), after.astype(np.float64), strict=True):
        value = method.from_cells(_coarse_points(positions, one, other))
        sizes.append(Size(method.name, value, threshold, method.exceeds(value, threshold)))
    return sizes


def _within_reach(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions whose differences are finite: the sums in a tail of huge values are not."""
    return np.nan_to_num(np.clip(positions, -_REACH, _REACH))


def _automatic(column: NumericLayout | CategoricalLayout, value: float, rule: ColumnRule, floor: float | None) -> Size:
    kind = kind_of(column)
    threshold = METHODS["auto"].thresholds[kind] if rule.threshold is None else rule.threshold
    metric = ROBUST_WASSERSTEIN if kind is Kind.NUMERIC else TVD
    value = min(value, float(np.finfo(np.float64).max))
    return Size(metric, value, threshold, value >= threshold, floor)


def _coarse_points(
    positions: NDArray[np.float64] | None,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
) -> Points:
    if positions is None:
        return Points(Kind.CATEGORICAL, np.arange(len(before)), before, after)
    used = np.flatnonzero((before > 0) | (after > 0))
    low, high = float(positions[used[0]]), float(positions[used[-1]])
    return Points(Kind.NUMERIC, positions, before, after, low, high, _deviation(positions, before))


def _deviation(positions: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The standard deviation of weighted positions, in ascending order."""
    values = positions[weights > 0]
    unit = float(values[-1] / 2 - values[0] / 2)
    if unit == 0:
        return 0.0
    # In units of their own range, as the squares of huge numbers are infinite.
    ratio = values / unit - values[0] / unit
    held = weights[weights > 0]
    return unit * math.sqrt(np.average((ratio - np.average(ratio, weights=held)) ** 2, weights=held))
