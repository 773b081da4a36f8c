"""Sparse count vectors: ascending indices and their counts. Adding them is exact in any order and grouping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DENSE = 4
"""A vector is counted densely when it has at most so many cells for each key."""


@dataclass(frozen=True, eq=False, slots=True)
class Counts:
    """Counts of the cells that hold something: `index` ascending, `count` at least 1."""

    index: NDArray[np.uint32]
    count: NDArray[np.int64]

    @classmethod
    def of_dense(cls, dense: NDArray[np.int64]) -> Counts:
        """The counts of a dense vector."""
        index = np.flatnonzero(dense != 0)
        return cls(index.astype(np.uint32), dense[index])

    @classmethod
    def of_keys(cls, keys: NDArray[Any], size: int) -> Counts:
        """How often each key occurs; keys in 0 .. size - 1."""
        if len(keys) * _DENSE >= size:
            return cls.of_dense(np.bincount(keys, minlength=size))
        ordered = np.sort(keys.astype(np.uint32, copy=False))
        first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(ordered) else ordered
        return cls(ordered[first], np.diff(first, append=len(ordered)).astype(np.int64))

    @classmethod
    def add(cls, parts: Sequence[Counts], size: int) -> Counts:
        """The sum of several vectors of `size` cells."""
        parts = [part for part in parts if len(part.index)]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls(np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.int64))
        if sum(len(part.index) for part in parts) * _DENSE >= size:
            dense = np.zeros(size, dtype=np.int64)
            for part in parts:
                dense[part.index] += part.count
            return cls.of_dense(dense)
        index, place = np.unique(np.concatenate([part.index for part in parts]), return_inverse=True)
        count = np.zeros(len(index), dtype=np.int64)
        np.add.at(count, place, np.concatenate([part.count for part in parts]))
        return cls(index, count)

    def dense(self, start: int, width: int) -> NDArray[np.int64]:
        """The cells start .. start + width - 1 as a dense vector."""
        # In the index's own type: otherwise the whole index would be converted first.
        low, high = self.index.searchsorted(np.array([start, start + width], dtype=np.uint32))
        out = np.zeros(width, dtype=np.int64)
        out[self.index[low:high].astype(np.int64) - start] = self.count[low:high]
        return out
