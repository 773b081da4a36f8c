"""The sample: the whole rows of lowest hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.errors import CorruptBlob
from detectors.layout import CategoricalLayout, Layout, NumericLayout
from detectors.packing import pack, unpack
from detectors.rows import Encoder, Rows

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 2_000

_KIND = b"S\x01"


@dataclass(frozen=True, eq=False)
class Sample:
    """The k rows of lowest (identity, topic, partition, offset), in that order: the same whatever way they came.

    Categorical values are codes: the vocabulary, then V + 1 + i for text i of `strangers` (sorted). The texts of an
    id-like column are not kept.
    """

    layout: Layout
    k: int
    identity: NDArray[np.uint64]
    ids: NDArray[np.object_]
    event_time: NDArray[np.int64]
    topics: tuple[str, ...]
    topic: NDArray[np.int32]
    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    values: Mapping[str, NDArray[Any]]
    strangers: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def kth_hash(self) -> int | None:
        """The highest hash kept: rows above it can be left out from now on. None while there is room."""
        return int(self.identity[-1]) if len(self) >= self.k else None

    @classmethod
    def of(
        cls, layout: Layout, rows: Rows, encoder: Encoder, *, k: int = SAMPLE_ROWS, below: int | None = None
    ) -> Sample:
        """The sample of rows, of which only those with a hash of at most `below` (a pane's k-th hash) can matter."""
        index = lowest_rows(rows, k, below)
        values: dict[str, NDArray[Any]] = {}
        strangers: dict[str, tuple[str, ...]] = {}
        for column in layout.columns:
            picked = rows.values[column.name][index]
            if isinstance(column, CategoricalLayout):
                values[column.name], strangers[column.name] = _recode(column, picked, encoder.strangers(column.name))
            else:
                values[column.name] = picked
        return cls(
            layout=layout,
            k=k,
            identity=rows.identity[index],
            ids=rows.ids[index],
            event_time=rows.event_time[index],
            topics=(rows.topic,) if len(index) else (),
            topic=np.zeros(len(index), dtype=np.int32),
            partition=rows.partition[index],
            offset=rows.offset[index],
            values=values,
            strangers={name: texts for name, texts in strangers.items() if texts},
        )

    @classmethod
    def merge(cls, parts: Sequence[Sample], k: int = SAMPLE_ROWS) -> Sample:
        """The sample of all the parts' rows together. Raises ValueError without parts or across layouts."""
        if not parts:
            raise ValueError("no samples to merge")
        layout = parts[0].layout
        if any(part.layout is not layout and part.layout.hash != layout.hash for part in parts):
            raise ValueError("samples of different layouts cannot be merged")
        if len(parts) == 1 and parts[0].k == k:
            return parts[0]
        topics = sorted({topic for part in parts for topic in part.topics})
        place = {topic: i for i, topic in enumerate(topics)}
        identity = np.concatenate([part.identity for part in parts])
        topic = np.concatenate([_lookup([place[t] for t in part.topics], part.topic) for part in parts])
        partition = np.concatenate([part.partition for part in parts])
        offset = np.concatenate([part.offset for part in parts])
        index = np.lexsort((offset, partition, topic, identity))[:k]
        left = np.unique(topic[index])
        values: dict[str, NDArray[Any]] = {}
        strangers: dict[str, tuple[str, ...]] = {}
        for column in layout.columns:
            arrays = [part.values[column.name] for part in parts]
            if isinstance(column, CategoricalLayout):
                shifted: list[NDArray[Any]] = []
                texts: list[str] = []
                for part, array in zip(parts, arrays, strict=True):
                    shifted.append(np.where(array > len(column.vocabulary), array + len(texts), array))
                    texts += part.strangers.get(column.name, ())
                values[column.name], strangers[column.name] = _recode(column, np.concatenate(shifted)[index], texts)
            else:
                values[column.name] = np.concatenate(arrays)[index]
        return cls(
            layout=layout,
            k=k,
            identity=identity[index],
            ids=np.concatenate([part.ids for part in parts])[index],
            event_time=np.concatenate([part.event_time for part in parts])[index],
            topics=tuple(topics[i] for i in left.tolist()),
            topic=np.searchsorted(left, topic[index]).astype(np.int32),
            partition=partition[index],
            offset=offset[index],
            values=values,
            strangers={name: texts for name, texts in strangers.items() if texts},
        )

    def to_bytes(self) -> bytes:
        """The sample as a versioned, compressed blob, column after column; equal samples give equal bytes."""
        head = {
            "k": self.k,
            "ids": self.ids.tolist(),
            "topics": self.topics,
            "strangers": {name: self.strangers[name] for name in sorted(self.strangers)},
        }
        sections = [msgspec.msgpack.encode(head), self.identity.astype("<u8").tobytes()]
        sections += [self.event_time.astype("<i8").tobytes(), self.offset.astype("<i8").tobytes()]
        sections += [self.topic.astype("<i4").tobytes(), self.partition.astype("<i4").tobytes()]
        numeric = [self.values[c.name].astype("<f8").tobytes() for c in self.layout.numeric]
        categorical = [self.values[c.name].astype("<i4").tobytes() for c in self.layout.categorical]
        return pack(_KIND, [*sections, b"".join(numeric), b"".join(categorical)])

    @classmethod
    def from_bytes(cls, layout: Layout, data: bytes) -> Sample:
        """The sample that `to_bytes` wrote under the same layout; CorruptBlob when it is none."""
        head, identity, event_time, offset, topic, partition, numeric, categorical = unpack(_KIND, data, 8)
        try:
            fields = msgspec.msgpack.decode(head)
            n = len(fields["ids"])
            ids = np.empty(n, dtype=object)
            ids[:] = fields["ids"]
            numbers = np.frombuffer(numeric, dtype="<f8").reshape(len(layout.numeric), n)
            codes = np.frombuffer(categorical, dtype="<i4").reshape(len(layout.categorical), n)
            values: dict[str, NDArray[Any]] = {c.name: numbers[i] for i, c in enumerate(layout.numeric)}
            values |= {c.name: codes[i] for i, c in enumerate(layout.categorical)}
            return cls(
                layout=layout,
                k=fields["k"],
                identity=np.frombuffer(identity, dtype="<u8"),
                ids=ids,
                event_time=np.frombuffer(event_time, dtype="<i8"),
                topics=tuple(fields["topics"]),
                topic=np.frombuffer(topic, dtype="<i4"),
                partition=np.frombuffer(partition, dtype="<i4"),
                offset=np.frombuffer(offset, dtype="<i8"),
                values=values,
                strangers={name: tuple(texts) for name, texts in fields["strangers"].items()},
            )
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise CorruptBlob(f"a stored sample is damaged ({error}); restore the store from a backup") from error

    def to_frame(self) -> pd.DataFrame:
        """The rows as they came: numbers as floats, categories as text or None, unseen ones included.

        Besides the columns (id-like ones left out): _id, _event_time (microseconds), _topic, _partition, _offset.
        """
        import pandas as pd

        data: dict[str, Any] = {}
        for column in self.layout.columns:
            if isinstance(column, NumericLayout):
                data[column.name] = self.values[column.name]
            elif not column.id_like:
                data[column.name] = self._texts(column)
        data["_id"] = self.ids
        data["_event_time"] = self.event_time
        data["_topic"] = np.array([*self.topics, ""], dtype=object)[self.topic]
        data["_partition"] = self.partition
        data["_offset"] = self.offset
        return pd.DataFrame({name: pd.Series(array, dtype=array.dtype) for name, array in data.items()})

    def _texts(self, column: CategoricalLayout) -> NDArray[np.object_]:
        # The place of code V belongs to id-like columns alone; the last entry is what a missing value's -1 picks.
        texts = [*column.vocabulary, "", *self.strangers.get(column.name, ()), None]
        return np.asarray(np.array(texts, dtype=object)[self.values[column.name]])


def lowest_rows(rows: Rows, k: int, below: int | None = None) -> NDArray[np.intp]:
    """The places of the k rows of lowest (identity, partition, offset), in that order.

    Only rows with a hash of at most `below`, if given, are looked at.
    """
    identity = rows.identity
    index = np.arange(len(rows)) if below is None else np.flatnonzero(identity <= np.uint64(below))
    if len(index) > k:
        # Rows that tie with the k-th stay in: partition and offset decide between them below.
        limit = np.partition(identity[index], k - 1)[k - 1]
        index = index[identity[index] <= limit]
    order = np.lexsort((rows.offset[index], rows.partition[index], identity[index]))[:k]
    return np.asarray(index[order])


def _lookup(table: Sequence[int], index: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.array([*table, 0], dtype=np.int32)[index]


def _recode(
    column: CategoricalLayout, codes: NDArray[Any], texts: Sequence[str]
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Codes whose strangers are numbered in the order of their texts, and those texts: only the ones that occur."""
    first = len(column.vocabulary) + 1
    strange = codes >= first
    if not strange.any():
        return codes.astype(np.int32), ()
    used = np.unique(codes[strange])
    ordered = sorted({texts[code - first] for code in used.tolist()})
    place = {text: first + i for i, text in enumerate(ordered)}
    out = codes.astype(np.int32)
    table = np.array([place[texts[code - first]] for code in used.tolist()], dtype=np.int32)
    out[strange] = table[np.searchsorted(used, codes[strange])]
    return out, tuple(ordered)
