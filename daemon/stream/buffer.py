"""The buffer: rows since the last checkpoint, in columns, and everything else that the checkpoint has to write.

Columns grow by doubling and are used again after each checkpoint, so that memory stays flat and nothing is copied
together before it is counted.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.store.dead_letters import DeadLetter
from daemon.stream.spec import Spec
from daemon.stream.unknown_features import UnknownFeatures
from daemon.stream.waiting import unfolding
from detectors.columns import ColumnType
from detectors.instants import Micros
from detectors.rows import Encoder, Rows, hash_ids

MAX_VERSIONS = 20
"""A model's further versions are counted together, as OTHER_VERSION."""
OTHER_VERSION = "(other)"

ReadMessage = Callable[[bytes], Mapping[str, Any]]
"""Everything that one message holds."""

_FIRST_CAPACITY = 256
_ID_BYTES = 90
_DEAD_LETTERS = 1_000
"""So many dead letters of a checkpoint are kept whole; further ones are counted only."""
_DEAD_LETTER_BYTES = 300


@dataclass(frozen=True, slots=True)
class TableKey:
    """Rows that can be put together: of one model, from one topic, encoded for one spec."""

    model: str
    topic: str
    spec_hash: str


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one (version, pane) in a table, with what the join needs where the model has labels.

    `messages` are the rows' whole messages while it is not known what will be wanted of them.
    """

    version: str
    pane: Micros
    rows: Rows
    identity: NDArray[np.uint64]
    items: NDArray[np.int64] | None
    predictions: Sequence[Any] | None
    messages: Sequence[bytes] | None = None


class Table:
    """The buffered rows of one table key; `message` reads a whole message where one is kept."""

    def __init__(self, spec: Spec, topic: str, *, keeps_predictions: bool, message: ReadMessage | None = None) -> None:
        self.spec = spec
        self.topic = topic
        self.message = message
        self.keeps_predictions = keeps_predictions
        self.encoder = Encoder(spec.layout)
        self.rows = 0
        self._versions: dict[str, int] = {}
        kinds: dict[str, Any] = {
            "identity": np.uint64,
            "ids": np.object_,
            "event_time": np.int64,
            "partition": np.int32,
            "offset": np.int64,
            "version": np.int32,
        }
        self._raw_prediction = keeps_predictions and not any(
            column.name == "prediction" and column.type is ColumnType.NUMERIC for column in spec.layout.columns
        )
        self._unfold = unfolding(spec) if keeps_predictions or spec.fields.lists else None
        self._raw_prediction |= keeps_predictions and self._unfold is not None
        self._text_bytes = 0
        self._keeps_items = keeps_predictions and spec.fields.item is not None
        if self._raw_prediction:
            kinds["raw_prediction"] = np.object_
        if spec.collects:
            kinds["message"] = np.object_
        if self._keeps_items:
            kinds["item"] = np.int64
        self._values = {
            column.name: np.empty(_FIRST_CAPACITY, np.float64 if column.type is ColumnType.NUMERIC else np.int32)
            for column in spec.layout.columns
        }
        self._own = {name: np.empty(_FIRST_CAPACITY, kind) for name, kind in kinds.items()}
        self._mistyped: dict[str, NDArray[np.bool_]] = {}
        self._capacity = _FIRST_CAPACITY
        self.row_bytes = _ID_BYTES + sum(array.itemsize for array in (*self._values.values(), *self._own.values()))

    @property
    def nbytes(self) -> int:
        """About how much memory the rows hold."""
        return self.rows * self.row_bytes + self.encoder.nbytes + self._text_bytes

    def add(
        self,
        *,
        identity: NDArray[np.uint64],
        ids: Sequence[str],
        event_time: NDArray[np.int64],
        partition: int,
        offset: NDArray[np.int64],
        version: str,
        columns: Mapping[str, Sequence[Any]],
        mistyped: Mapping[str, NDArray[np.bool_]],
        items: NDArray[np.int64] | None,
        messages: Sequence[bytes] | None = None,
    ) -> int:
        """Put rows of one partition and version at the end; `columns` holds the values as they were decoded.

        Returns of how many rows a part was cut off for its size.
        """
        count = len(ids)
        start, stop = self.rows, self.rows + count
        if stop > self._capacity:
            self._grow(stop)
        cut = 0
        texts: Sequence[Any] | None = columns.get("prediction") if self._raw_prediction else None
        if self._unfold is not None:
            unfolded = self._unfold(identity, columns)
            columns, cut = unfolded.columns, unfolded.cut
            if self._raw_prediction:
                texts = unfolded.texts
                self._text_bytes += sum(len(text) for text in unfolded.texts if isinstance(text, str))
        pack = struct.Struct(f"{count}d").pack
        for name, array in self._values.items():
            if array.dtype == np.float64:
                try:
                    # Numbers only, as is usual: half the time of the encoder, which has to expect anything.
                    array[start:stop] = np.frombuffer(pack(*columns[name]))
                    continue
                except (struct.error, OverflowError):
                    pass
            array[start:stop] = self.encoder.encode(name, columns[name])
        own = self._own
        own["identity"][start:stop] = identity
        own["ids"][start:stop] = ids
        own["event_time"][start:stop] = event_time
        own["partition"][start:stop] = partition
        own["offset"][start:stop] = offset
        own["version"][start:stop] = self._versions.setdefault(version, len(self._versions))
        if self._raw_prediction:
            own["raw_prediction"][start:stop] = texts
        if self._keeps_items and items is not None:
            own["item"][start:stop] = items
        if messages is not None and "message" in own:
            own["message"][start:stop] = messages
            self._text_bytes += sum(map(len, messages))
        for name, mask in mistyped.items():
            if name in self._values:
                whole = self._mistyped.get(name)
                if whole is None:
                    whole = self._mistyped[name] = np.zeros(self._capacity, dtype=bool)
                whole[start:stop] = mask
        self.rows = stop
        return cut

    def _grow(self, rows: int) -> None:
        self._capacity = max(rows, 2 * self._capacity)
        for arrays in (self._values, self._own, self._mistyped):
            for name, array in arrays.items():
                larger = np.zeros(self._capacity, array.dtype)
                larger[: self.rows] = array[: self.rows]
                arrays[name] = larger

    def groups(self) -> Iterator[Group]:
        """The rows by version and pane, in that order."""
        if not self.rows:
            return
        own = {name: array[: self.rows] for name, array in self._own.items()}
        rows = Rows(
            identity=own["identity"],
            ids=own["ids"],
            event_time=own["event_time"],
            topic=self.topic,
            partition=own["partition"],
            offset=own["offset"],
            values={name: array[: self.rows] for name, array in self._values.items()},
            mistyped={name: mask[: self.rows] for name, mask in self._mistyped.items()},
        )
        names = list(self._versions)
        panes = own["event_time"] - own["event_time"] % self.spec.pane
        versions = own["version"]
        if (panes == panes[0]).all() and (versions == versions[0]).all():
            yield self._group(names[versions[0]], int(panes[0]), rows, own, slice(None))
            return
        order = np.lexsort((panes, versions))
        starts = np.flatnonzero((np.diff(panes[order]) != 0) | (np.diff(versions[order]) != 0)) + 1
        for index in np.split(order, starts):
            yield self._group(names[versions[index[0]]], int(panes[index[0]]), rows.take(index), own, index)

    def _group(self, version: str, pane: Micros, rows: Rows, own: Mapping[str, NDArray[Any]], index: Any) -> Group:
        items = own["item"][index] if self._keeps_items else None
        predictions: Sequence[Any] | None = own["raw_prediction"][index] if self._raw_prediction else None
        # The join tells items apart by themselves, so its hash is that of the id alone.
        identity = rows.identity if items is None else hash_ids(rows.ids.tolist())
        messages: Sequence[bytes] | None = own["message"][index] if self.spec.collects else None
        return Group(version, pane, rows, identity, items, predictions, messages)

    def empty(self) -> None:
        """Forget the rows and keep the memory for the next ones."""
        self._own["ids"][: self.rows] = None
        if self._raw_prediction:
            self._own["raw_prediction"][: self.rows] = None
        if self.spec.collects:
            self._own["message"][: self.rows] = None
        self._mistyped.clear()
        self._versions.clear()
        self._text_bytes = 0
        self.encoder = Encoder(self.spec.layout)
        self.rows = 0


@dataclass(slots=True)
class LabelRows:
    """Buffered labels of one model."""

    identity: list[NDArray[np.uint64]]
    time: list[NDArray[np.int64]]
    partition: list[NDArray[np.int64]]
    offset: list[NDArray[np.int64]]
    label: list[Any]
    item: list[NDArray[np.int64]]

    ROW_BYTES = 128


class Buffer:
    """Everything since the last checkpoint."""

    def __init__(self) -> None:
        self.tables: dict[TableKey, Table] = {}
        self.labels: dict[str, LabelRows] = {}
        self.books: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.dead_letters: list[DeadLetter] = []
        self.unknown_features = UnknownFeatures()
        self._dead_letter_bytes = 0
        self._label_rows = 0

    @property
    def nbytes(self) -> int:
        """About how much memory everything holds."""
        rows = sum(table.nbytes for table in self.tables.values())
        return rows + self._label_rows * LabelRows.ROW_BYTES + self._dead_letter_bytes

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write but positions."""
        return not (self._label_rows or self.dead_letters or self.books or any(t.rows for t in self.tables.values()))

    def table(
        self, model: str, topic: str, spec: Spec, *, keeps_predictions: bool, message: ReadMessage | None = None
    ) -> Table:
        """The table that rows of a model go to."""
        key = TableKey(model, topic, spec.hash)
        table = self.tables.get(key)
        if table is None:
            table = self.tables[key] = Table(spec, topic, keeps_predictions=keeps_predictions, message=message)
        return table

    def add_labels(
        self,
        model: str,
        *,
        identity: NDArray[np.uint64],
        time: NDArray[np.int64],
        partition: int,
        offset: NDArray[np.int64],
        label: Sequence[Any],
        item: NDArray[np.int64] | None = None,
    ) -> None:
        """Put labels of one partition at the end; `item` tells several labels of one id apart."""
        rows = self.labels.setdefault(model, LabelRows([], [], [], [], [], []))
        rows.identity.append(identity)
        rows.time.append(time)
        rows.partition.append(np.full(len(label), partition, dtype=np.int64))
        rows.offset.append(offset)
        rows.label.extend(label)
        rows.item.append(np.zeros(len(label), dtype=np.int64) if item is None else item)
        self._label_rows += len(label)

    def add_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a dead letter. The offsets of one broken batch, which come one by one, become one letter.

        The books count every one of them; only so many are kept whole, for a topic can be full of them.
        """
        last = self.dead_letters[-1] if self.dead_letters else None
        if letter.payload is None and last is not None and last.payload is None and _continues(last, letter):
            self.dead_letters[-1] = _joined(last, letter)
        elif len(self.dead_letters) < _DEAD_LETTERS:
            self.dead_letters.append(letter)
            self._dead_letter_bytes += _DEAD_LETTER_BYTES + len(letter.payload or b"")
        else:
            self.books[letter.model or ""]["dead_letters_cut"] += 1

    def empty(self, *, keep: bool) -> None:
        """Forget everything; `keep`: tables that had rows keep their memory, those that had none go.

        Without `keep` the rows to come may have other columns.
        """
        for key, table in list(self.tables.items()):
            if keep and table.rows:
                table.empty()
            else:
                del self.tables[key]
        self.labels.clear()
        self.books.clear()
        self.dead_letters.clear()
        if not keep:
            self.unknown_features.forget()
        self._dead_letter_bytes = self._label_rows = 0


def _continues(last: DeadLetter, letter: DeadLetter) -> bool:
    same = (last.model, last.topic, last.partition, last.reason) == (
        letter.model,
        letter.topic,
        letter.partition,
        letter.reason,
    )
    return same and last.offset_end == letter.offset


def _joined(last: DeadLetter, letter: DeadLetter) -> DeadLetter:
    return DeadLetter(
        model=last.model,
        topic=last.topic,
        partition=last.partition,
        offset=last.offset,
        offset_end=letter.offset_end,
        reason=last.reason,
        detail=last.detail,
        payload=None,
        at=last.at,
        payload_bytes=0,
    )
