"""Ordinary variation: how much the reference's own windows differ, beyond the chance of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.errors import CorruptBlob
from detectors.instants import DAY, Micros
from detectors.packing import pack, unpack

CALIBRATED = 14
"""With so many reference windows a model's verdicts are told to people."""
LIVE_WINDOWS = 28
"""Unflagged live windows join the reference's own until there are so many."""
PRIOR = 10.0
"""A coordinate's excess variance is drawn to its column's mean as if that were known from so many windows."""
_RHO_QUANTILE = 0.75

_KIND = b"W\x02"
_ARRAYS = ("mean", "tau2", "nu", "rho", "rows", "error", "slots")


@dataclass(frozen=True, eq=False, slots=True)
class WindowVector:
    """One window as a reference window: everything that it takes to learn ordinary variation from it.

    `y` and `n` are the coordinates' values and rows (see `Coordinates`), `unseen` the rows with an unseen value and
    `distance` the `auto` value against the whole reference, both by column of the layout, NaN where there is none.
    """

    start: Micros
    end: Micros
    rows: int
    y: NDArray[np.float64]
    n: NDArray[np.float64]
    unseen: NDArray[np.float64]
    distance: NDArray[np.float64]

    def to_bytes(self) -> bytes:
        """The vector as a versioned, compressed blob."""
        head = np.array([self.start, self.end, self.rows], dtype="<i8").tobytes()
        return pack(_KIND, [head, *(a.astype("<f8").tobytes() for a in (self.y, self.n, self.unseen, self.distance))])

    @classmethod
    def from_bytes(cls, data: bytes) -> WindowVector:
        """The vector that `to_bytes` wrote; CorruptBlob when it is none."""
        head, *arrays = unpack(_KIND, data, 5)
        try:
            start, end, rows = np.frombuffer(head, dtype="<i8").tolist()
            y, n, unseen, distance = (np.frombuffer(array, dtype="<f8") for array in arrays)
        except ValueError as error:
            raise CorruptBlob(f"a stored window is damaged ({error}); restore the store from a backup") from error
        return cls(start, end, rows, y, n, unseen, distance)


@dataclass(frozen=True, eq=False, slots=True)
class Variation:
    """Mean and excess variance of every coordinate over m windows.

    `mean` is over all windows; `slots` has one row for each slot of the day, one in all for windows of a day or more.
    `tau2` is what windows vary by beyond the chance of their rows, `nu` its degrees of freedom, `rho` the lag-1
    autocorrelation, `rows` the (harmonic) mean of the windows' rows, `error` the variance of the mean:
    tau2 / (nu + 1) + chance / m. A coordinate without two windows has the mean it has and no excess variance.
    """

    m: int
    mean: NDArray[np.float64]
    slots: NDArray[np.float64]
    tau2: NDArray[np.float64]
    nu: NDArray[np.float64]
    rho: NDArray[np.float64]
    rows: NDArray[np.float64]
    error: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        windows: Sequence[WindowVector],
        beta: NDArray[np.float64],
        groups: Sequence[slice],
        size: Micros,
    ) -> Variation:
        """The variation between windows, in order of time; `groups` are the coordinates of one column's test.

        See verdicts.md, "The coordinate test", for the formulas.
        """
        m = len(windows)
        if m == 0:
            nothing = np.full(len(beta), np.nan)
            zeros = np.zeros(len(beta))
            return cls(0, nothing, nothing[None], zeros, np.full(len(beta), np.inf), zeros, zeros, zeros)
        y = np.stack([window.y for window in windows])
        n = np.stack([window.n for window in windows])
        valid = ~np.isnan(y)
        filled = np.where(valid, y, 0.0)
        slot = np.array([slot_of(window.start, size) for window in windows])
        held = valid.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = filled.sum(axis=0) / held
            residual = _residuals(filled, valid, slot)
            variance = np.nansum(residual**2, axis=0) / (~np.isnan(residual)).sum(axis=0) / (1 + 1 / held)
            rows = held / np.where(valid, 1 / n, 0.0).sum(axis=0)
            chance = beta / rows
            excess = np.where(chance > 0, variance / chance, np.nan)
        rho = _lag_one(residual)
        nu = np.maximum(2.0, (held - 1) * (1 - rho) / (1 + rho))
        pooled = excess.copy()
        for group in groups:
            known = excess[group][np.isfinite(excess[group])]
            if len(known):
                pooled[group] = (PRIOR * known.mean() + nu[group] * excess[group]) / (PRIOR + nu[group])
        tau2 = np.maximum(0.0, np.nan_to_num((pooled - 1) * chance))
        with np.errstate(divide="ignore", invalid="ignore"):
            error = tau2 / (nu + 1) + np.nan_to_num(chance / held)
        return cls(m, mean, _slot_means(filled, valid, slot, mean, size), tau2, nu, rho, rows, error)

    def to_bytes(self) -> bytes:
        """The variation as bytes, which a reference compresses."""
        arrays = [getattr(self, name).astype("<f8").tobytes() for name in _ARRAYS]
        return msgspec.msgpack.encode([self.m, len(self.mean), *arrays])

    @classmethod
    def from_bytes(cls, data: bytes) -> Variation:
        """The variation that `to_bytes` wrote."""
        m, size, *arrays = msgspec.msgpack.decode(data)
        mean, tau2, nu, rho, rows, error, slots = (np.frombuffer(array, dtype="<f8") for array in arrays)
        return cls(m=m, mean=mean, slots=slots.reshape(-1, size), tau2=tau2, nu=nu, rho=rho, rows=rows, error=error)

    def expected(self, start: Micros) -> NDArray[np.float64]:
        """The mean of every coordinate in a window from `start`: between two slots, from both."""
        count = len(self.slots)
        place = start % DAY * count / DAY
        low = int(place) % count
        part = place - int(place)
        if part == 0:
            return np.asarray(self.slots[low])
        return np.asarray((1 - part) * self.slots[low] + part * self.slots[(low + 1) % count])


def slot_count(size: Micros) -> int:
    """Into how many slots a day falls for windows of a size: one when a window is a day or longer."""
    return max(1, DAY // size)


def slot_of(start: Micros, size: Micros) -> int:
    """The slot of the day of a window from `start`, the nearest one."""
    count = slot_count(size)
    return int((start % DAY * count / DAY) + 0.5) % count


def _residuals(y: NDArray[np.float64], valid: NDArray[np.bool_], slot: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each value less the mean of the windows of its slot more than m / 4 away: neighbours are alike."""
    m = len(y)
    far = np.abs(np.subtract.outer(np.arange(m), np.arange(m))) > m / 4
    total, held = _sums(far, y), _sums(far, valid)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = total / held
        if len(set(slot.tolist())) > 1:
            same = far & (slot[:, None] == slot)
            # One pseudo-window of all slots keeps a slot of few windows from being taken at its word.
            expected = (_sums(same, y) + expected) / (_sums(same, valid) + 1)
    return np.asarray(np.where(valid, y - expected, np.nan))


def _sums(picked: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[np.float64]:
    """For each row of `picked` the sum of the rows of `values` that it picks.

    Not a matrix product: BLAS would start threads for it, and their number would decide the last bits.
    """
    return np.asarray(np.einsum("ij,jk->ik", picked.astype(np.float64), values.astype(np.float64)))


def _slot_means(
    y: NDArray[np.float64], valid: NDArray[np.bool_], slot: NDArray[np.int64], mean: NDArray[np.float64], size: Micros
) -> NDArray[np.float64]:
    count = slot_count(size)
    if count == 1:
        return mean[None]
    member = np.arange(count)[:, None] == slot
    return np.asarray((_sums(member, y) + mean) / (_sums(member, valid) + 1))


def _lag_one(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lag-1 autocorrelation of each column of residuals, clipped to 0 .. 0.9."""
    both = residual[1:] * residual[:-1]
    square = np.nansum(residual**2, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.nansum(both, axis=0) / square
    return np.asarray(np.clip(np.nan_to_num(rho), 0.0, 0.9))


def typical_rho(rho: NDArray[np.float64], groups: Sequence[slice]) -> float:
    """The autocorrelation that a model's level is set by: three quarters of its columns have less."""
    if not groups:
        return 0.0
    return float(np.quantile([rho[group].mean() for group in groups], _RHO_QUANTILE))
