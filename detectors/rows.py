"""Rows of one model in columns, encoded under a layout: the hot path between a message and a partial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.columns import ColumnType
from detectors.layout import CategoricalLayout, Layout
from detectors.murmurhash import murmurhash
from detectors.values import text_hash, value_text

MISSING_CODE = -1

_SEED = 0x6472696674643031  # part of what is stored, never to change
_LONG_ID = 256
_STRANGER_BYTES = 200


def hash_ids(ids: Sequence[str], items: Sequence[int] | None = None) -> NDArray[np.uint64]:
    """The identity of each row: a 64-bit hash of its prediction id and, where one message holds several, its item.

    MurmurHash64A of the UTF-8 bytes with a fixed seed, so the same for ever and in every process; about 0.25 us a row.
    An id of more than 256 bytes stands there as its BLAKE2b digest. Without items the identity is that of the id alone.

    >>> [hex(value) for value in hash_ids(["a", "b"]).tolist()]
    ['0xbc373a2f34c687ae', '0xedca918cfedf53e9']
    """
    # A lone surrogate, which JSON can carry, is no UTF-8.
    texts = [text.encode("utf-8", "backslashreplace") for text in ids]
    if max(map(len, texts), default=0) > _LONG_ID:
        texts = [text if len(text) <= _LONG_ID else blake2b(text, digest_size=32).digest() for text in texts]
    hashes = murmurhash(_SEED, texts)
    if items is None:
        return hashes
    # The finalizer of SplitMix64 (Steele, Lea, Flood 2014) over hash + item steps of its stream.
    steps = np.asarray(items, dtype=np.int64).astype(np.uint64) + np.uint64(1)
    mixed = hashes + steps * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


class _Codes(dict[Any, int]):
    """Value to code; a value met for the first time is looked at once, then remembered."""

    def __init__(self, layout: CategoricalLayout) -> None:
        super().__init__(layout.code)
        self._size = len(layout.vocabulary)
        self._rest = layout.rest
        self.strangers: list[str] = []
        self.is_rest: list[bool] = []
        self._code_of = dict(layout.code)
        # True == 1 and False == 0 are one key of a dictionary. The layout alone decides which text they stand for:
        # otherwise the first of the two to arrive would.
        words = layout.type is ColumnType.BOOLEAN or not {"true", "false"}.isdisjoint(layout.code)
        numbers = not words or not {"0", "1"}.isdisjoint(layout.code)
        self._texts = {True: "1", False: "0"} if numbers else {True: "true", False: "false"}
        self[None] = MISSING_CODE

    def __missing__(self, value: Any) -> int:
        if value != value:
            return MISSING_CODE
        text = self._texts[value] if value in self._texts else value_text(value)
        code = self._code_of.get(text)
        if code is None:
            code = self._size + 1 + len(self.strangers)
            self.strangers.append(text)
            self.is_rest.append(self._known(text))
            self._code_of[text] = code
        self[value] = code
        return code

    def _known(self, text: str) -> bool:
        if len(self._rest) == 0:
            return False
        value = np.uint64(text_hash(text))
        place = int(np.searchsorted(self._rest, value))
        return place < len(self._rest) and self._rest[place] == value


class Encoder:
    """Turns values into codes under one layout, and remembers the strangers: texts outside the vocabulary.

    One for each (model, spec) between two checkpoints: its codes mean nothing to another one. Not thread-safe.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._codes = {c.name: _Codes(c) for c in layout.categorical if not c.id_like}
        self._id_like = frozenset(c.name for c in layout.categorical if c.id_like)

    def encode(self, column: str, values: Sequence[object]) -> NDArray[Any]:
        """The values of one column, encoded.

        Numeric: float64, NaN where missing, infinities kept. Categorical and boolean: int32 codes; -1 missing,
        0 .. V-1 the vocabulary, V + 1 + i stranger i (V alone is any value of an id-like column).
        None and NaN are missing. Raises ValueError or TypeError when a numeric column is given text that is no number,
        KeyError when the layout has no such column.
        """
        codes = self._codes.get(column)
        if codes is not None:
            try:
                return np.fromiter(map(codes.__getitem__, values), dtype=np.int32, count=len(values))
            except TypeError:  # a list or an object among the values: it has no hash, so its text stands for it
                flat = [v if v is None or isinstance(v, str | int | float) else str(v) for v in values]
                return np.fromiter(map(codes.__getitem__, flat), dtype=np.int32, count=len(flat))
        if column in self._id_like:
            return np.fromiter((MISSING_CODE if v is None or v != v else 0 for v in values), np.int32, len(values))
        self.layout.column(column)
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:
            return np.array([as_float(value) for value in values], dtype=np.float64)

    def strangers(self, column: str) -> Sequence[str]:
        """The texts outside the vocabulary so far, in order of their codes; empty for a numeric column."""
        codes = self._codes.get(column)
        return () if codes is None else codes.strangers

    def known(self, column: str) -> NDArray[np.bool_]:
        """For each stranger whether the reference had it: then it is rest, else unseen."""
        codes = self._codes.get(column)
        return np.array([] if codes is None else codes.is_rest, dtype=bool)

    @property
    def nbytes(self) -> int:
        """About how much memory the strangers hold."""
        return _STRANGER_BYTES * sum(len(codes.strangers) for codes in self._codes.values())


def as_float(value: Any) -> float:
    """A number as float64, None as NaN; an integer too large for it is infinite.

    >>> as_float(2), as_float(-(10**400))
    (2.0, -inf)
    """
    try:
        return float("nan") if value is None else float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Rows of one (model, version) from one topic, in columns of equal length, encoded by one `Encoder`.

    `values` has an array for every column of the layout. `mistyped` has a mask only for columns where a value was of
    the wrong type: such a cell is missing in `values` and is counted as mistyped, not as missing.
    """

    identity: NDArray[np.uint64]
    ids: NDArray[np.object_]
    event_time: NDArray[np.int64]
    topic: str
    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    values: Mapping[str, NDArray[Any]]
    mistyped: Mapping[str, NDArray[np.bool_]]

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def nbytes(self) -> int:
        """About how much memory the rows hold; ids at 80 bytes each."""
        arrays = (self.identity, self.event_time, self.partition, self.offset)
        columns = sum(array.nbytes for array in self.values.values())
        masks = sum(mask.nbytes for mask in self.mistyped.values())
        return sum(array.nbytes for array in arrays) + columns + masks + 80 * len(self.ids)

    def take(self, index: NDArray[Any] | slice) -> Rows:
        """The rows that an index array, a mask or a slice picks."""
        masks = {name: mask[index] for name, mask in self.mistyped.items()}
        return Rows(
            identity=self.identity[index],
            ids=self.ids[index],
            event_time=self.event_time[index],
            topic=self.topic,
            partition=self.partition[index],
            offset=self.offset[index],
            values={name: array[index] for name, array in self.values.items()},
            mistyped={name: mask for name, mask in masks.items() if mask.any()},
        )
