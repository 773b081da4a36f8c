"""The reference's own windows: which rows are in which, and what each is in coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.coordinates import Coordinates
from detectors.distances import auto_distance
from detectors.instants import Micros
from detectors.profile import Profile
from detectors.rows import Encoder, Rows
from detectors.values import text_codes
from detectors.variation import WindowVector

MOST_WINDOWS = 720
"""So many of the reference's windows, the latest, are learned from."""


def distance_floors(vectors: Sequence[WindowVector], columns: int) -> NDArray[np.float64]:
    """For each column the 95th percentile of the windows' `auto` distance; NaN where no window has one."""
    floors = np.full(columns, np.nan)
    if vectors:
        distances = np.stack([vector.distance for vector in vectors])
        known = ~np.isnan(distances).all(axis=0)
        floors[known] = np.nanquantile(distances[:, known], 0.95, axis=0)
    return floors


def window_numbers(event_time: NDArray[np.int64], size: Micros) -> NDArray[np.int64]:
    """Each row's window, numbered from 0, or -1 in a first or last window that the reference covers in part.

    `event_time` ascends. A window at the edge is whole when the silence between its border and the reference's first
    (last) row is no longer than the longest silence inside.
    """
    number = event_time // size
    longest = int(np.diff(event_time).max()) if len(event_time) > 1 else 0
    first, last = int(number[0]), int(number[-1])
    if int(event_time[0]) - first * size > longest:
        first += 1
    if (last + 1) * size - int(event_time[-1]) > longest + 1:
        last -= 1
    first = max(first, last - MOST_WINDOWS + 1)
    return np.asarray(np.where((number >= first) & (number <= last), number - first, -1))


def new_values(series: pd.Series, number: NDArray[np.int64] | None) -> tuple[float, NDArray[np.float64]]:
    """The share of rows whose value no other window has, and such rows by window.

    Without windows: values that occur once, which is Good and Turing's estimate of the chance of a new one (1953).
    """
    codes, texts = text_codes(series)
    present = codes >= 0
    if number is None or number.max() < 1:
        counts = np.bincount(codes[present], minlength=len(texts))
        return float((counts == 1).sum() / max(1, present.sum())), np.zeros(0)
    used = present & (number >= 0)
    pairs, counts = np.unique(codes[used] * (number.max() + 1) + number[used], return_counts=True)
    value, where = np.divmod(pairs, number.max() + 1)
    alone = np.bincount(value, minlength=len(texts))[value] == 1
    fresh = np.bincount(where[alone], weights=counts[alone], minlength=number.max() + 1)
    return float(fresh.sum() / max(1, used.sum())), fresh.astype(np.float64)


def own_windows(
    rows: Rows,
    encoder: Encoder,
    reference: Profile,
    coordinates: Coordinates,
    number: NDArray[np.int64] | None,
    size: Micros,
    unseen: Mapping[str, NDArray[np.float64]],
) -> tuple[list[WindowVector], list[Profile]]:
    """Vector and profile of every window that has rows, in order of time; `rows` ascend in time.

    `unseen` has for each categorical column the rows of each window with a value that no other one has.
    """
    vectors: list[WindowVector] = []
    profiles: list[Profile] = []
    if number is None:
        return vectors, profiles
    used = np.flatnonzero(number >= 0)
    indices, firsts = np.unique(number[used], return_index=True)
    borders = [*used[firsts].tolist(), int(used[-1]) + 1 if len(used) else 0]
    for i, index in enumerate(indices.tolist()):
        low, high = borders[i], borders[i + 1]
        profile = Profile.of(reference.layout, rows.take(slice(low, high)), encoder, segments=False)
        start = int(rows.event_time[low] // size * size)
        vector = vector_of(profile, reference, coordinates, start, start + size)
        for place, column in enumerate(reference.layout.columns):
            if column.name in unseen and len(unseen[column.name]):
                vector.unseen[place] = unseen[column.name][index]
        vectors.append(vector)
        profiles.append(profile)
    return vectors, profiles


def vector_of(
    profile: Profile, reference: Profile, coordinates: Coordinates, start: Micros, end: Micros
) -> WindowVector:
    """The vector of one window's profile."""
    values = coordinates.of(profile)
    names = [column.name for column in profile.layout.columns]
    return WindowVector(
        start=start,
        end=end,
        rows=profile.rows,
        y=values.y,
        n=values.n,
        unseen=np.array([profile.unseen(name).total for name in names], dtype=np.float64),
        distance=np.array([auto_distance(reference, profile, name) for name in names]),
    )


def spread(parts: Sequence[Profile], most: int) -> list[Profile]:
    """At most so many of the parts, evenly spread."""
    index = np.unique(np.linspace(0, len(parts) - 1, min(most, len(parts))).round().astype(int))
    return [parts[i] for i in index.tolist()]
