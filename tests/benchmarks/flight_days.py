"""Flights by day: whole, in real or random order, and with changes that are known because they were made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from deploy.demo.flights import FEATURES, load_flights
from detectors.instants import DAY

Frames = Sequence[pd.DataFrame]
REFERENCE_DAYS = (14, 28, 60)
LATER_MINUTES = 10.0
CARRIER, CARRIER_SHARE = "UA", 0.15


def by_day() -> list[pd.DataFrame]:
    """The flights that left on each day (UTC): features, arrival delay, and the microsecond of the day, `at`."""
    flights = load_flights()
    instants = flights["departure"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
    frame = flights[[*FEATURES, "arr_delay"]].assign(at=instants % DAY)
    return [frame[instants // DAY == day].reset_index(drop=True) for day in np.unique(instants // DAY)[1:-1]]


def features(days: Frames) -> list[pd.DataFrame]:
    """The same days without what is known only later."""
    return [day.drop(columns="arr_delay") for day in days]


def shuffled(days: Frames, seed: int) -> list[pd.DataFrame]:
    """The days in random order."""
    return [days[i] for i in np.random.default_rng(seed).permutation(len(days)).tolist()]


def in_order(days: Frames, length: int, windows: int, step: int) -> Iterator[tuple[Frames, Frames]]:
    """References of `length` days in real order, a `step` apart, each with the `windows` days that come after it."""
    for first in range(0, len(days) - length - windows + 1, step):
        yield days[first : first + length], days[first + length : first + length + windows]


def later(day: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every flight leaves ten minutes later."""
    del seed
    return day.assign(dep_delay=day["dep_delay"] + LATER_MINUTES)


def carried(day: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One carrier has taken over 15 points of the day's flights from the others."""
    rng = np.random.default_rng(seed)
    others = np.flatnonzero((day["carrier"] != CARRIER).to_numpy())
    taken = rng.choice(others, min(len(others), round(CARRIER_SHARE * len(day))), replace=False)
    carrier = day["carrier"].to_numpy(dtype=object, copy=True)
    carrier[taken] = CARRIER
    return day.assign(carrier=carrier)
