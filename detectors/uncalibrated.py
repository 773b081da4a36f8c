"""A p-value without reference windows: what chance alone makes of the reference's counts.

Windows that are no mere chance draws make such p-values too small, so a finding by them is marked `uncalibrated`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

DRAWS = 400
_CACHED = 10_000

Statistic = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""The values of several windows against the reference, from their counts: one row a window."""


def chance_p_value(
    value: float,
    n: int,
    reference_counts: NDArray[np.int64],
    reference_rows: int,
    statistic: Statistic,
    *,
    key: str,
    power: int = 2,
) -> float:
    """The chance of a value this large in n rows drawn from the reference.

    A Gamma distribution is fitted to mean and variance of T ** power over 400 multinomial draws of n rows, scaled by
    1 + n / reference_rows for the reference's own chance. `power` is 2 for distances, 1 for what is a square already
    (PSI, KL). `key` names layout, column and statistic: it seeds the draws, which are remembered in this process.
    Draws are made for a power of two near n and scaled, since n T ** power has about one distribution.
    """
    if not value > 0 or n <= 0:
        return 1.0
    drawn = 2 ** max(0, round(math.log2(n)))
    mean, variance = _moments(key, drawn, power, reference_counts, statistic)
    scale = drawn / n * (1 + n / max(1, reference_rows))
    if variance == 0:
        return float(value**power <= mean * scale)
    shape = mean**2 / variance
    return float(gammaincc(shape, value**power / (variance / mean * scale)))


_CACHE: OrderedDict[tuple[str, int, int], tuple[float, float]] = OrderedDict()


def _moments(key: str, n: int, power: int, counts: NDArray[np.int64], statistic: Statistic) -> tuple[float, float]:
    found = _CACHE.get((key, n, power))
    if found is None:
        digest: Any = blake2b(f"{key}/{n}".encode(), digest_size=8).digest()
        random = np.random.default_rng(int.from_bytes(digest, "little"))
        used = np.flatnonzero(counts)
        draws = np.zeros((DRAWS, len(counts)), dtype=np.int64)
        draws[:, used] = random.multinomial(n, counts[used] / counts[used].sum(), size=DRAWS)
        values = statistic(draws) ** power
        found = _CACHE[key, n, power] = float(np.mean(values)), float(np.var(values, ddof=1))
        if len(_CACHE) > _CACHED:
            _CACHE.popitem(last=False)
    return found
