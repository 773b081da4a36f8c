"""Whole rows of columns that nobody knows yet: what is kept of live traffic until it has become the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.errors import CorruptBlob
from detectors.packing import pack, unpack
from detectors.predicted import scores_text
from detectors.rows import Rows
from detectors.sample import SAMPLE_ROWS, lowest_rows
from detectors.values import value_text

ID, TIME, PREDICTION, SCORE, SCORES, LABEL = "_id", "_event_time", "_prediction", "_score", "_scores", "_label"
"""The names of what is no feature, in the rows and in the frame that is made of them."""

MAX_CELLS = 500
"""So many columns of one row are kept; a message with more is cut, in the order of the columns' names."""
MAX_ITEMS = 100
"""So many items of a list are kept."""
_LARGEST = 2**63

_KIND = b"C\x01"

Cell = float | int | str | bool | list[Any] | None
"""A value as it was logged: numbers and truth values, texts of at most 64 characters, lists of such values."""


def cell(value: Any) -> Cell:
    """A logged value as it is kept.

    >>> cell(7), cell(True), cell("UA"), cell(["a", 1]), cell({"a": 1})
    (7, True, 'UA', ['a', 1], [])
    """
    if isinstance(value, str):
        return value_text(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -_LARGEST <= value < _LARGEST else _float(value)
    if isinstance(value, list):
        return [cell(item) for item in value[:MAX_ITEMS] if not isinstance(item, list | dict)]
    # An object where a value was looked for: like a list it has no value of its own, and is there all the same.
    return []


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


@dataclass(frozen=True, eq=False)
class CollectedRows:
    """The k rows of lowest (identity, topic, partition, offset), in that order, each with what its message held.

    `cells` has one mapping a row, of column names to values; a column that a row lacks is missing there. Probabilities
    by class are one JSON text.
    """

    k: int
    identity: NDArray[np.uint64]
    ids: tuple[str, ...]
    event_time: NDArray[np.int64]
    topics: tuple[str, ...]
    topic: NDArray[np.int32]
    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    cells: tuple[Mapping[str, Cell], ...]

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def kth_hash(self) -> int | None:
        """The highest hash kept: rows above it can be left out from now on. None while there is room."""
        return int(self.identity[-1]) if len(self) >= self.k else None

    @classmethod
    def of(
        cls,
        rows: Rows,
        read: Callable[[int], Mapping[str, Any]],
        *,
        k: int = SAMPLE_ROWS,
        below: int | None = None,
    ) -> CollectedRows:
        """The rows of lowest hash; `read` gives what the message of a row held, and is asked for kept rows only.

        Only rows with a hash of at most `below` (a pane's k-th hash) can matter.
        """
        index = lowest_rows(rows, k, below)
        return cls(
            k=k,
            identity=rows.identity[index],
            ids=tuple(rows.ids[index].tolist()),
            event_time=rows.event_time[index],
            topics=(rows.topic,) if len(index) else (),
            topic=np.zeros(len(index), dtype=np.int32),
            partition=rows.partition[index],
            offset=rows.offset[index],
            cells=tuple(_kept(read(place)) for place in index.tolist()),
        )

    @classmethod
    def merge(cls, parts: Sequence[CollectedRows], k: int = SAMPLE_ROWS) -> CollectedRows:
        """The k lowest of all the parts' rows together. Raises ValueError without parts."""
        if not parts:
            raise ValueError("no rows to merge")
        if len(parts) == 1 and parts[0].k == k:
            return parts[0]
        topics = sorted({topic for part in parts for topic in part.topics})
        place = {topic: i for i, topic in enumerate(topics)}
        identity = np.concatenate([part.identity for part in parts])
        topic = np.concatenate(
            [np.array([*(place[t] for t in part.topics), 0], dtype=np.int32)[part.topic] for part in parts]
        )
        partition = np.concatenate([part.partition for part in parts])
        offset = np.concatenate([part.offset for part in parts])
        index = np.lexsort((offset, partition, topic, identity))[:k]
        left = np.unique(topic[index])
        ids = [one for part in parts for one in part.ids]
        cells = [one for part in parts for one in part.cells]
        return cls(
            k=k,
            identity=identity[index],
            ids=tuple(ids[i] for i in index.tolist()),
            event_time=np.concatenate([part.event_time for part in parts])[index],
            topics=tuple(topics[i] for i in left.tolist()),
            topic=np.searchsorted(left, topic[index]).astype(np.int32),
            partition=partition[index],
            offset=offset[index],
            cells=tuple(cells[i] for i in index.tolist()),
        )

    def to_bytes(self) -> bytes:
        """The rows as a versioned, compressed blob; equal rows give equal bytes."""
        head = msgspec.msgpack.encode({"k": self.k, "ids": self.ids, "topics": self.topics})
        arrays = [self.identity.astype("<u8"), self.event_time.astype("<i8"), self.offset.astype("<i8")]
        arrays += [self.topic.astype("<i4"), self.partition.astype("<i4")]
        return pack(_KIND, [head, *(array.tobytes() for array in arrays), msgspec.msgpack.encode(self.cells)])

    @classmethod
    def from_bytes(cls, data: bytes) -> CollectedRows:
        """The rows that `to_bytes` wrote; CorruptBlob when it wrote none."""
        head, identity, event_time, offset, topic, partition, cells = unpack(_KIND, data, 7)
        try:
            fields = msgspec.msgpack.decode(head)
            return cls(
                k=fields["k"],
                identity=np.frombuffer(identity, dtype="<u8"),
                ids=tuple(fields["ids"]),
                event_time=np.frombuffer(event_time, dtype="<i8"),
                topics=tuple(fields["topics"]),
                topic=np.frombuffer(topic, dtype="<i4"),
                partition=np.frombuffer(partition, dtype="<i4"),
                offset=np.frombuffer(offset, dtype="<i8"),
                cells=tuple(msgspec.msgpack.decode(cells)),
            )
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise CorruptBlob(f"stored rows are damaged ({error}); restore the store from a backup") from error


def _kept(cells: Mapping[str, Any]) -> Mapping[str, Cell]:
    return {
        name: scores_text(cells[name]) if name == SCORES else cell(cells[name]) for name in sorted(cells)[:MAX_CELLS]
    }
