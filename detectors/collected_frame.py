"""Collected rows as a frame: what a reference's file would have held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.collected import ID, LABEL, TIME, Cell, CollectedRows

MAX_COLUMNS = 1_000
"""The columns that most rows have are kept, so many of them."""
STRAY_SHARE = 0.05
"""Up to this share of values of another kind than the others, such as texts among numbers, is left out of a column."""


def collected_frame(windows: Sequence[CollectedRows], labels: Sequence[Sequence[Cell]] | None = None) -> pd.DataFrame:
    """The rows of some windows in the order of event time: the column TIME, in microseconds. ID holds their ids.

    `labels` has a label for each row, window by window, None where there is none; they become the column LABEL. Of
    two columns of which one's name is a path to the other (`a` and `a.b`) the one that fewer rows have is left out.
    """
    rows = [row for window in windows for row in window.cells]
    times = np.concatenate([np.zeros(0, dtype=np.int64), *(window.event_time for window in windows)])
    places = [place for window in windows for place in _places(window)]
    order = sorted(range(len(rows)), key=lambda i: (int(times[i]), places[i]))
    ids = [one for window in windows for one in window.ids]
    data = {TIME: pd.Series(times[order]), ID: pd.Series([ids[i] for i in order], dtype=object)}
    data |= {name: pd.Series(_sound([rows[i].get(name) for i in order]), dtype=object) for name in _columns(rows)}
    if labels is not None:
        given = [value for part in labels for value in part]
        data[LABEL] = _label([given[i] for i in order])
    return pd.DataFrame(data)


def _places(window: CollectedRows) -> list[tuple[str, int, int]]:
    topics = [window.topics[i] for i in window.topic.tolist()]
    return list(zip(topics, window.partition.tolist(), window.offset.tolist(), strict=True))


def _columns(rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    counts = Counter(name for row in rows for name in row)
    kept: set[str] = set()
    above: set[str] = set()
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        parts = name.split(".")
        paths = {".".join(parts[:length]) for length in range(1, len(parts))}
        if name not in above and paths.isdisjoint(kept) and len(kept) < MAX_COLUMNS:
            kept.add(name)
            above |= paths
    return sorted(kept)


def _sound(values: list[Cell]) -> NDArray[np.object_]:
    """A column's values, without the few of another kind than most."""
    kinds = Counter(_kind(value) for value in values if value is not None)
    if kinds:
        main = max(sorted(kinds), key=lambda kind: kinds[kind])
        if kinds.total() - kinds[main] <= STRAY_SHARE * kinds.total():
            values = [value if value is not None and _kind(value) == main else None for value in values]
    # One by one, for NumPy would make a second axis of lists.
    array = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        array[place] = value
    return array


def _label(values: list[Cell]) -> pd.Series:
    sound = _sound(values)
    if all(value is None or _kind(value) == "number" for value in sound):
        return pd.Series([np.nan if value is None else float(value) for value in sound], dtype=np.float64)
    return pd.Series(sound, dtype=object)


def _kind(value: Cell) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "list"
