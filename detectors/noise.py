"""The coordinate test: whether a window differs from the reference by more than the reference's own windows do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from detectors import drivers
from detectors.coordinates import SHARES, Coordinate, Kind, Values, group_weights, share
from detectors.distances import auto_distance, differing
from detectors.instants import Micros
from detectors.layout import CategoricalLayout, NumericLayout
from detectors.own_windows import distance_floors
from detectors.profile import Profile, SegmentKey
from detectors.rates import LEAST_DISPERSION, UsualCount
from detectors.reference import Reference
from detectors.variation import CALIBRATED, LIVE_WINDOWS, PRIOR, Variation, WindowVector, typical_rho


class State(StrEnum):
    """How far the ordinary variation is known."""

    CALIBRATED = "calibrated"
    CALIBRATING = "calibrating"
    UNCALIBRATED = "uncalibrated"


@dataclass(frozen=True, slots=True)
class Movement:
    """What moved most, in words, and what a person compares: means of a numeric column, shares (0..1) otherwise."""

    driver: str
    usual: float
    current: float


class CoordinateResult:
    """The test of one column in one window: its p-value, and `t`, by how many standard errors it moved most.

    `driver`, `usual` and `current` are worked out when asked for: of hundreds of results few are ever shown.
    """

    def __init__(self, p_value: float, t: float, describe: Callable[[], Movement]) -> None:
        self.p_value = p_value
        self.t = t
        self._describe = describe

    @cached_property
    def movement(self) -> Movement:
        """What moved most."""
        return self._describe()

    @property
    def driver(self) -> str:
        """What moved most, in words: "carrier = UA: 17 → 32 %"."""
        return self.movement.driver

    @property
    def usual(self) -> float:
        """The reference's mean (numeric), or the usual share."""
        return self.movement.usual

    @property
    def current(self) -> float:
        """The window's mean (numeric), or its share."""
        return self.movement.current

    def __repr__(self) -> str:
        return f"CoordinateResult(p_value={self.p_value!r}, t={self.t!r}, driver={self.driver!r})"


@dataclass(frozen=True, eq=False, slots=True)
class _Scores:
    """All coordinates of one window or segment; and for each test its p-value and what moved most."""

    y: NDArray[np.float64]
    n: NDArray[np.float64]
    base: NDArray[np.float64]
    t: NDArray[np.float64]
    p: NDArray[np.float64]
    column_p: NDArray[np.float64]
    driver: NDArray[np.int64]

    def row(self, index: int) -> _Scores:
        return _Scores(*(getattr(self, name)[index] for name in self.__slots__))


class Noise:
    """What ordinary windows of a model look like: the reference's own, and live ones that joined them."""

    def __init__(self, reference: Reference, variation: Variation, windows: Sequence[WindowVector]) -> None:
        self.reference = reference
        self.variation = variation
        self._live = tuple(windows)

    @classmethod
    def of(cls, reference: Reference, live: Sequence[WindowVector] = ()) -> Noise:
        """The noise of a reference and of unflagged, disjoint, final live windows in order of time.

        Of these as many are used as bring the number of windows to 28.
        """
        used = live[: max(0, LIVE_WINDOWS - reference.variation.m)]
        if not used:
            return cls(reference, reference.variation, ())
        coordinates = reference.coordinates
        windows = [*reference.windows, *used]
        groups = list(coordinates.tests.values())
        return cls(reference, Variation.of(windows, coordinates.beta, groups, reference.window.size), used)

    @property
    def m(self) -> int:
        """How many windows the ordinary variation is known from."""
        return self.variation.m

    @property
    def state(self) -> State:
        """Whether verdicts may be told: calibrated from 14 windows on, uncalibrated without any."""
        if self.m >= CALIBRATED:
            return State.CALIBRATED
        return State.CALIBRATING if self.m else State.UNCALIBRATED

    @cached_property
    def rho(self) -> float:
        """The lag-1 autocorrelation of ordinary windows that the model's level is set by, 0 .. 0.9."""
        return typical_rho(self.variation.rho, list(self.reference.coordinates.tests.values()))

    def floor(self, column: str) -> float | None:
        """The 95th percentile of the `auto` value over the ordinary windows; None without any."""
        place = self.reference.layout.columns.index(self.reference.layout.column(column))
        value = float(self._floors[place])
        return value if np.isfinite(value) else None

    @cached_property
    def _floors(self) -> NDArray[np.float64]:
        if not self._live:
            return self.reference.floors
        return distance_floors([*self.reference.windows, *self._live], len(self.reference.layout.columns))

    def rare(self, share: float, rows: int) -> UsualCount:
        """How many of `rows` usually are what `share` of the reference's rows were; half a row more than those."""
        rate = share + 0.5 / max(1, self.reference.rows)
        return UsualCount(rate * rows, LEAST_DISPERSION, max(1, self.m))

    def unseen(self, column: str, present: int) -> UsualCount:
        """How many of `present` values are usually ones that the reference never had."""
        place = self.reference.layout.columns.index(self.reference.layout.column(column))
        windows = [*self.reference.windows, *self._live]
        total = sum(self._present(window, column) for window in windows)
        if not total:
            base = self.reference.profile.present(column)
            rate = max(self.reference.unseen_rates.get(column, 0.0), 0.5 / max(1, base))
            return UsualCount(rate * present, LEAST_DISPERSION, 1)
        met = np.array([window.unseen[place] for window in windows])
        # Half a value more than was met: a rate of nothing would make the first new value impossible.
        rate = (float(met.sum()) + 0.5) / total
        expected = np.array([rate * self._present(window, column) for window in windows])
        excess = float(((met - expected) ** 2).mean() - expected.mean())
        dispersion = max(LEAST_DISPERSION, excess / float((expected**2).mean()))
        return UsualCount(rate * present, dispersion, len(windows))

    def test(self, profile: Profile, start: Micros) -> WindowTest:
        """The tests of every column and segment of one window; computed when asked for."""
        return WindowTest(self, profile, start)

    def _present(self, window: WindowVector, column: str) -> float:
        coordinates = self.reference.coordinates
        return float(window.n[coordinates.shares[column] + SHARES.index(Kind.OUT_OF_RANGE)])


class WindowTest:
    """One window's profile against ordinary windows."""

    def __init__(self, noise: Noise, profile: Profile, start: Micros) -> None:
        self._noise = noise
        self._reference = noise.reference
        self._coordinates = noise.reference.coordinates
        self._profile = profile
        self._start = start

    def distance(self, column: str, segment: SegmentKey | None = None) -> float:
        """The `auto` value: see `auto_distance`."""
        positions = None
        if segment is not None and isinstance(self._reference.layout.column(column), NumericLayout):
            positions = self._reference.coarse_positions(column)
        return auto_distance(self._reference.profile, self._profile, column, segment, positions)

    def drift(self, column: str, segment: SegmentKey | None = None) -> CoordinateResult | None:
        """The column's drift test, in one segment or in all rows.

        None where there is no such test: an id-like column, one without values in the reference or in the window.
        For a column that is constant in the reference p is 0 as soon as one value differs.
        """
        at = self._reference.layout.column(column)
        if at.id_like:
            return None
        if at.constant:
            return self._constant(at, segment)
        test = self._coordinates.order.get(column)
        if test is None:
            return None
        scores = self._scores(segment)
        p_value = float(scores.column_p[test])
        if np.isnan(p_value):
            return None
        place = int(scores.driver[test])
        y, base = float(scores.y[place]), float(scores.base[place])
        return CoordinateResult(p_value, float(scores.t[place]), lambda: self._movement(place, y, base, segment))

    def share(self, column: str, kind: Kind, segment: SegmentKey | None = None) -> CoordinateResult | None:
        """The test of a share that every column has (`SHARES`): missing, non-finite, mistyped, out of range.

        None where the window has no row to take the share of.
        """
        scores = self._scores(segment)
        place = self._coordinates.shares[column] + SHARES.index(kind)
        n, t = float(scores.n[place]), float(scores.t[place])
        if np.isnan(t):
            return None
        # Two cells, so two coordinates that mirror each other.
        p_value = min(1.0, 2 * float(scores.p[place]))
        base = float(scores.base[place])
        return CoordinateResult(p_value, t, lambda: self._share_movement(column, kind, segment, base, n))

    def _share_movement(self, column: str, kind: Kind, segment: SegmentKey | None, base: float, n: float) -> Movement:
        # Without the 0.375 that the coordinate holds for n rows.
        before = float(np.clip((share(base) * (n + 0.75) - 0.375) / n, 0.0, 1.0))
        at = self._profile.layout.column(column)
        if kind is Kind.OUT_OF_RANGE:
            counts = self._profile.counts(column, segment)
            hit = int(counts[0] + counts[-1]) if isinstance(at, NumericLayout) else 0
        else:
            hit = {
                Kind.MISSING: self._profile.missing,
                Kind.NON_FINITE: self._profile.non_finite,
                Kind.MISTYPED: self._profile.mistyped,
            }[kind](column, segment)
        after = hit / n
        return Movement(drivers.share_phrase(column, kind, before, after), before, after)

    def unseen(self, column: str) -> CoordinateResult:
        """The test of a categorical column's unseen values; `usual` and `current` are shares of its values."""
        found = self._profile.unseen(column).total
        present = self._profile.present(column)
        usual = self._noise.unseen(column, present)
        before, after = usual.mean / max(1, present), found / max(1, present)
        names = list(self._profile.unseen(column).kept)[:3]
        driver = f"{column} unseen: {drivers.percentages(before, after)}" + (f" ({', '.join(names)})" if names else "")
        p_value = usual.at_least(found) if found else 1.0
        return CoordinateResult(p_value, 0.0, lambda: Movement(driver, before, after))

    @cached_property
    def _total(self) -> _Scores:
        variation, chance = self._noise.variation, self._coordinates.chance
        values = self._coordinates.of(self._profile)
        if variation.m == 0:
            whole = self._coordinates.of(self._reference.profile)
            base = self._coordinates.at(whole.y, whole.n, values.n)
            return self._scored(values, base, chance(values.n) + chance(whole.n))
        base = self._coordinates.at(variation.expected(self._start), variation.rows, values.n)
        return self._scored(values, base, variation.tau2 + chance(values.n) + variation.error)

    @cached_property
    def _segments(self) -> _Scores:
        """As `_total`, one row a segment: the model's tau2 and slot, but the segment's own mean and its error."""
        variation, chance = self._noise.variation, self._coordinates.chance
        values = self._coordinates.of_segments(self._profile)
        own = self._reference.segment_values
        base = self._coordinates.at(own.y, own.n, values.n)
        if variation.m and len(variation.slots) > 1:
            base = base + variation.expected(self._start) - variation.mean
        spread = variation.tau2 * (1 + 1 / (variation.nu + 1)) + chance(values.n) + chance(own.n)
        return self._scored(values, base, spread)

    def _scored(self, values: Values, base: NDArray[np.float64], spread: NDArray[np.float64]) -> _Scores:
        with np.errstate(invalid="ignore"):
            t = (values.y - base) / np.sqrt(spread)
        size = np.abs(t)
        p = 2 * stdtr(self._noise.variation.nu + PRIOR, -size)
        # NaN: no value in the window or in the reference, so no test.
        size = np.where(np.isnan(size), -1.0, size)
        column_p, driver = [], []
        for group in self._coordinates.tests.values():
            shared = p[..., group] / self._coordinates.parts[group]
            low = np.min(np.where(np.isnan(shared), np.inf, shared), axis=-1)
            column_p.append(np.where(np.isinf(low), np.nan, np.minimum(1.0, low)))
            driver.append(group.start + np.argmax(size[..., group], axis=-1))
        shape = (*t.shape[:-1], len(driver))
        columns = (
            np.moveaxis(np.array(column_p), 0, -1).reshape(shape),
            np.moveaxis(np.array(driver), 0, -1).reshape(shape),
        )
        return _Scores(values.y, values.n, np.broadcast_to(base, t.shape), t, p, *columns)

    def _scores(self, segment: SegmentKey | None) -> _Scores:
        if segment is None:
            return self._total
        return self._segments.row(self._reference.layout.segment_starts[segment[0]] + segment[1])

    def _constant(self, at: NumericLayout | CategoricalLayout, segment: SegmentKey | None) -> CoordinateResult | None:
        before, after = self._reference.profile.counts(at.name), self._profile.counts(at.name)
        if segment is not None:
            before = self._reference.profile.counts(at.name, coarse=True)
            after = self._profile.counts(at.name, segment)
        if not after.any():
            return None
        other = differing(before, after)
        cell = int(np.argmax(self._reference.profile.counts(at.name)))
        value = at.vocabulary[cell] if isinstance(at, CategoricalLayout) else drivers.number(float(at.positions[cell]))
        differ = int(after.sum() - after[np.argmax(before)])
        p_value = self._noise.rare(0.0, int(after.sum())).at_least(differ)
        phrase = drivers.constant_phrase(at.name, value, other)
        return CoordinateResult(p_value, 0.0, lambda: Movement(phrase, 0.0, other))

    def _movement(self, place: int, y: float, base: float, segment: SegmentKey | None) -> Movement:
        coordinate = self._coordinates.items[place]
        at = self._reference.layout.column(coordinate.column)
        if isinstance(at, NumericLayout):
            usual, current = (self._mean(profile, at, segment) for profile in (self._reference.profile, self._profile))
            return Movement(self._numeric_driver(coordinate, at, y, base, (usual, current), segment), usual, current)
        if coordinate.kind is Kind.GROUP:
            return self._within_group(coordinate, at, segment)
        usual, current = float(share(base)), float(share(y))
        return Movement(drivers.category_phrase(at, coordinate.kind, coordinate.index, usual, current), usual, current)

    def _within_group(self, coordinate: Coordinate, at: CategoricalLayout, segment: SegmentKey | None) -> Movement:
        """The category of a group whose share moved most."""
        member = group_weights(at)[coordinate.index] > 0
        before, after = (profile.counts(at.name, segment) for profile in (self._reference.profile, self._profile))
        if segment is not None:
            member = np.bincount(at.coarse, weights=member) > 0
        moved = after / after.sum() - before / before.sum()
        place = int(np.argmax(np.where(member, np.abs(moved), -1.0)))
        cells = np.array([place]) if segment is None else np.flatnonzero(at.coarse == place)
        named = len(cells) == 1 and int(cells[0]) < len(at.vocabulary)
        usual, current = float(before[place] / before.sum()), float(after[place] / after.sum())
        kind = Kind.CATEGORY if named else Kind.REST
        return Movement(drivers.category_phrase(at, kind, int(cells[0]), usual, current), usual, current)

    def _numeric_driver(
        self,
        coordinate: Coordinate,
        at: NumericLayout,
        y: float,
        base: float,
        means: tuple[float, float],
        segment: SegmentKey | None,
    ) -> str:
        if coordinate.kind is Kind.DECILE:
            return drivers.decile_phrase(at, coordinate.index, float(share(base)), float(share(y)))
        quarters = [
            self._quantiles(profile, at, segment, (0.25, 0.5, 0.75))
            for profile in (self._reference.profile, self._profile)
        ]
        if coordinate.kind is Kind.RANK_MEAN:
            return drivers.rank_mean_phrase(at.name, y > base, *means, (quarters[0][1], quarters[1][1]))
        (low, _, high), (low_now, _, high_now) = quarters
        return drivers.rank_spread_phrase(at.name, y > base, (low, high), (low_now, high_now))

    def _mean(self, profile: Profile, at: NumericLayout, segment: SegmentKey | None) -> float:
        if segment is None:
            return profile.mean(at.name)
        counts = profile.counts(at.name, segment)
        if not counts.any():
            return float("nan")
        return float(np.average(self._reference.coarse_positions(at.name), weights=counts))

    def _quantiles(
        self, profile: Profile, at: NumericLayout, segment: SegmentKey | None, levels: tuple[float, ...]
    ) -> list[float]:
        counts = profile.counts(at.name, segment)
        positions = profile.positions(at.name) if segment is None else self._reference.coarse_positions(at.name)
        reached = np.cumsum(counts)
        places = np.searchsorted(reached, np.array(levels) * reached[-1])
        return [float(value) for value in positions[np.minimum(places, len(positions) - 1)]]
