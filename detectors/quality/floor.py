"""What a quality metric is in ordinary windows: the reference's own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from detectors.quality.metric import Measured, Worse, measure
from detectors.quality.rows import Rows

LEAST_ROWS = 30
"""A window of the reference with fewer judged rows says nothing about how a metric varies."""


@dataclass(frozen=True, slots=True)
class QualityFloor:
    """One metric on the labelled reference: over all its rows, and in each of its windows.

    `error` and `errors` are standard errors, `rows` the rows judged. Without event times there are no windows.
    """

    value: float
    error: float
    rows: int
    windows: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()

    def noise_floor(self, worse: Worse) -> float | None:
        """The value that 95 % of the reference's windows stayed on the better side of."""
        if not self.windows:
            return None
        if worse is Worse.LOWER:
            return float(np.quantile(self.windows, 0.05))
        values = np.abs(self.windows) if worse is Worse.FARTHER else np.asarray(self.windows)
        return float(np.quantile(values, 0.95))

    def p_value(self, measured: Measured, worse: Worse) -> float:
        """The chance that an ordinary window is as bad or worse, one-sided (two-sided for `FARTHER`).

        What windows vary by beyond their rows' own error is estimated from the reference's windows; Student's t with
        their number less one. With fewer than two windows the rows' errors are all there is.
        """
        between, centre, freedom = 0.0, self.value, math.inf
        spread = self.error**2
        if len(self.windows) >= 2:
            values, errors = np.asarray(self.windows), np.asarray(self.errors)
            centre = float(np.mean(values))
            between = max(0.0, float(np.var(values, ddof=1)) - float(np.mean(errors**2)))
            spread = (between + float(np.mean(errors**2))) / len(values)
            freedom = len(values) - 1
        deviation = math.sqrt(between + measured.error**2 + spread)
        difference = measured.value - centre
        if deviation == 0:
            distance = 0.0 if difference == 0 else math.copysign(math.inf, difference)
        else:
            distance = difference / deviation
        if worse is Worse.FARTHER:
            return min(1.0, 2 * _upper_tail(abs(distance), freedom))
        return _upper_tail(distance if worse is Worse.HIGHER else -distance, freedom)


def quality_floors(task: str, rows: Rows, window: NDArray[np.int64] | None = None) -> dict[str, QualityFloor]:
    """The floor of every metric of `task` that the reference defines.

    `window` is each row's window, numbered from 0, and below 0 where the row is in none.
    """
    parts = []
    if window is not None and len(window):
        order = np.argsort(window, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(window[order])) + 1)
        usable = [places for places in groups if window[places[0]] >= 0 and len(places) >= LEAST_ROWS]
        parts = [measure(task, rows.take(places)) for places in usable]
    floors = {}
    for name, whole in measure(task, rows).items():
        if not math.isfinite(whole.value):
            continue
        known = [part[name] for part in parts if math.isfinite(part[name].value)]
        floors[name] = QualityFloor(
            whole.value, whole.error, whole.rows, tuple(p.value for p in known), tuple(p.error for p in known)
        )
    return floors


def _upper_tail(distance: float, freedom: float) -> float:
    if math.isinf(distance):
        return 0.0 if distance > 0 else 1.0
    return float(special.ndtr(-distance) if math.isinf(freedom) else special.stdtr(freedom, -distance))
