"""How many rows a model usually has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.instants import DAY, HOUR, Micros
from detectors.rates import LEAST_DISPERSION, UsualCount
from detectors.variation import slot_count, slot_of

_WEEK_HOURS = 168


@dataclass(frozen=True, slots=True)
class UsualRows:
    """How many rows windows usually have, by slot of the day, and hours by hour of the week.

    `means` and `windows` have one entry a slot; the dispersion is common to all. `hours` has the mean rows of each
    hour of the week from Monday 00:00 UTC, and `hours_seen` how many such hours the reference covers; both are empty
    where only windows were counted.
    """

    size: Micros
    means: tuple[float, ...]
    windows: tuple[int, ...]
    dispersion: float
    hours: tuple[float, ...]
    hours_seen: tuple[int, ...]

    def at(self, start: Micros) -> UsualCount | None:
        """The usual rows of a window from `start`; None where the reference has no such window."""
        slot = slot_of(start, self.size)
        if not self.windows or self.windows[slot] == 0:
            return None
        return UsualCount(self.means[slot], self.dispersion, self.windows[slot])


def usual_rows(event_time: NDArray[np.int64], number: NDArray[np.int64], size: Micros) -> UsualRows:
    """The usual rows of a reference: `number` is each row's window, -1 where it is in none that is whole."""
    used = event_time[number >= 0]
    if not len(used):
        return UsualRows(size, (), (), LEAST_DISPERSION, (), ())
    first = int(used[0] // size)
    counts = np.bincount((used // size - first).astype(np.int64)).astype(np.float64)
    starts = (first + np.arange(len(counts))) * size
    return _usual(starts, counts, size, *_hours_of_week(event_time))


def usual_counts(rows: Mapping[Micros, int], size: Micros) -> UsualRows:
    """The usual rows where only their number in each window is known, by the window's start."""
    if not rows:
        return UsualRows(size, (), (), LEAST_DISPERSION, (), ())
    starts = np.array(sorted(rows), dtype=np.int64)
    return _usual(starts, np.array([rows[start] for start in starts.tolist()], dtype=np.float64), size, (), ())


def _usual(
    starts: NDArray[np.int64],
    counts: NDArray[np.float64],
    size: Micros,
    hours: tuple[float, ...],
    hours_seen: tuple[int, ...],
) -> UsualRows:
    slot = np.array([slot_of(start, size) for start in starts.tolist()])
    seen = np.bincount(slot, minlength=slot_count(size))
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.nan_to_num(np.bincount(slot, weights=counts, minlength=len(seen)) / seen)
    expected = means[slot]
    freedom = max(1, len(counts) - int((seen > 0).sum()))
    excess = ((counts - expected) ** 2).sum() / freedom - expected.mean()
    dispersion = max(LEAST_DISPERSION, float(excess / max(1e-9, (expected**2).mean())))
    return UsualRows(size, tuple(means.tolist()), tuple(seen.tolist()), dispersion, hours, hours_seen)


def _hours_of_week(event_time: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    # The epoch was a Thursday, so its Monday was three days earlier.
    hour = (event_time + 3 * DAY) // HOUR
    counts = np.bincount((hour - hour[0]).astype(np.int64))[1:-1]  # the outermost hours are covered in part
    place = (int(hour[0]) + 1 + np.arange(len(counts))) % _WEEK_HOURS
    seen = np.bincount(place, minlength=_WEEK_HOURS)
    total = np.bincount(place, weights=counts, minlength=_WEEK_HOURS)
    return tuple((total / np.maximum(seen, 1)).tolist()), tuple(seen.tolist())
