"""A batch's columns as the driver takes them: hashes as signed integers, values of arrays as Python's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHIFT = 1 << 63
"""Hashes are unsigned and the database's integers are signed: less this, they keep their order."""

HASHES = 1 << 64
"""How many hashes there are: a threshold that lets every one pass."""


def check_lengths(columns: Mapping[str, Sized]) -> None:
    """Columns of different lengths would lose rows without a word."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Columns of different lengths: {lengths}.")


def taken(values: Sequence[Any] | NDArray[Any], index: NDArray[np.intp]) -> list[Any]:
    """The values at these places as Python's own; what a pane does not keep is not touched."""
    if isinstance(values, np.ndarray):
        chosen: list[Any] = values[index].tolist()
        return chosen
    return [values[place] for place in index.tolist()]


def signed(unsigned: NDArray[np.uint64]) -> list[int]:
    """Hashes as the database keeps them."""
    shifted: list[int] = (unsigned ^ np.uint64(SHIFT)).view(np.int64).tolist()
    return shifted


def numbers_and_texts(values: list[Any]) -> tuple[Iterable[float | None], Iterable[str | None]]:
    """Values that are numbers or texts, as the two columns that hold them."""
    if str not in set(map(type, values)):
        return values, repeat(None)
    return (
        [None if isinstance(value, str) else value for value in values],
        [value if isinstance(value, str) else None for value in values],
    )
