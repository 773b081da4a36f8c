"""The rows of Parquet files in the order of their event times, however the files were cut."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from daemon.stream import event_time
from daemon.stream.errors import HistoryError
from daemon.stream.history.messages import Messages, items
from detectors.instants import Micros

SUFFIXES = (".parquet", ".pq")


def find(path: Path) -> list[Path]:
    """The Parquet files that a path names: itself, or those in the folder and below it.

    Names that begin with a dot or an underscore are what writers leave beside their data.

    Raises:
        HistoryError: there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise HistoryError(f"{path} does not exist")
    found = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
    )
    if not found:
        raise HistoryError(f"{path} has no file that ends in .parquet")
    return found


def columns_of(paths: Sequence[Path]) -> list[str]:
    """The columns of all the files together, in the order of their first appearance.

    Raises:
        HistoryError: a file cannot be read.
    """
    found: dict[str, None] = {}
    for path in paths:
        try:
            found |= dict.fromkeys(pq.read_schema(path).names)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error
    return list(found)


@dataclass(frozen=True, slots=True)
class _Examined:
    path: Path
    rows: int
    first: Micros
    last: Micros


@dataclass(frozen=True, slots=True)
class _Group:
    """Files that overlap in time, and so are read together."""

    paths: tuple[Path, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in order, with the event time of each; NEVER where it has none that can be read."""

    times: NDArray[np.int64]
    table: pa.Table


class Log:
    """The messages of all files, numbered from 0 on in the order of time. One group of files is held at a time."""

    def __init__(self, paths: Sequence[Path], messages: Messages, since: Micros | None = None) -> None:
        """Read every file once: what is wrong with one is found now, not half way.

        Raises:
            HistoryError: a file cannot be read, or does not say when its rows were.
        """
        self._messages = messages
        self._since = since
        examined = [self._examine(path) for path in paths]
        self._groups = _grouped([one for one in examined if one.rows])
        self._ends = list(accumulate(group.rows for group in self._groups))
        self._held: tuple[int, Rows] | None = None

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def time(self, offset: int) -> Micros:
        """The event time of one row."""
        rows, place = self._at(offset)
        return int(rows.times[place])

    def read(self, offset: int, count: int) -> tuple[NDArray[np.int64], list[bytes]]:
        """At most `count` messages from `offset` on, and their event times; fewer where a group ends."""
        rows, place = self._at(offset)
        return rows.times[place : place + count], self._messages.bodies(rows.table.slice(place, count))

    def _at(self, offset: int) -> tuple[Rows, int]:
        number = bisect_right(self._ends, offset)
        if self._held is None or self._held[0] != number:
            self._held = None  # Two groups at once would be twice the memory.
            self._held = number, _in_order([self._rows(path) for path in self._groups[number].paths])
        start = self._ends[number - 1] if number else 0
        return self._held[1], offset - start

    def _examine(self, path: Path) -> _Examined:
        times = self._rows(path).times
        known = times[times != event_time.NEVER]
        first, last = (int(known.min()), int(known.max())) if len(known) else (event_time.NEVER, event_time.NEVER)
        return _Examined(path, len(times), first, last)

    def _rows(self, path: Path) -> Rows:
        """A file's rows that are messages, as they stand in it."""
        messages = self._messages
        try:
            table = pq.ParquetFile(path).read()
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error
        if messages.time not in table.column_names:
            raise HistoryError(f"{path} has no column {messages.time!r} of event times")
        for name in messages.needed:
            if name not in table.column_names:
                return Rows(np.empty(0, dtype=np.int64), table.slice(0, 0))
            table = table.filter(table[name].is_valid())
        if messages.unfolded is not None:
            table = _unfold(table, messages.unfolded)
        times = _instants(path, table[messages.time], messages)
        if self._since is not None:
            kept = np.flatnonzero(times >= self._since)
            times, table = times[kept], table.take(pa.array(kept))
        return Rows(times, table)


def _unreadable(path: Path, error: Exception) -> HistoryError:
    first = str(error).partition("\n")[0]
    return HistoryError(f"{path} cannot be read: {first or type(error).__name__}")


def _grouped(files: Sequence[_Examined]) -> list[_Group]:
    """Files in the order of time; those whose times overlap are one group."""
    groups: list[_Group] = []
    last: Micros | None = None
    for file in sorted(files, key=lambda one: (one.first, one.path)):
        if last is not None and file.first <= last:
            before = groups.pop()
            groups.append(_Group((*before.paths, file.path), before.rows + file.rows))
            last = max(last, file.last)
        else:
            groups.append(_Group((file.path,), file.rows))
            last = file.last
    return groups


def _in_order(parts: Sequence[Rows]) -> Rows:
    times = np.concatenate([part.times for part in parts])
    # Files of different ages may differ in their columns, and whole numbers may have become fractions.
    table = pa.concat_tables([part.table for part in parts], promote_options="permissive")
    if (np.diff(times) < 0).any():
        order = np.argsort(times, kind="stable")
        times, table = times[order], table.take(pa.array(order))
    return Rows(times, table.combine_chunks())


def _unfold(table: pa.Table, name: str) -> pa.Table:
    """Each item of a column of lists in a row of its own."""
    lists = items(table[name])
    places = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    column = pa.array([str(item) if not isinstance(item, str) else item for one in lists for item in one], pa.string())
    return table.take(pa.array(places)).set_column(table.column_names.index(name), name, column)


def _instants(path: Path, column: pa.ChunkedArray, messages: Messages) -> NDArray[np.int64]:
    """When each row was; NEVER where it does not say so."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("us")), pa.timestamp("us")
    if pa.types.is_timestamp(kind):
        whole = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
        return np.asarray(whole.fill_null(event_time.NEVER).to_numpy(), dtype=np.int64)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if is_number == (messages.unit == "rfc3339"):
        wanted = "say whether they count s, ms, us or ns" if is_number else f"it says {messages.unit}"
        raise HistoryError(
            f"{path}: {messages.time!r} holds {kind}, which does not go with timestamp_unit: {wanted}, or store the "
            "column as timestamps"
        )
    return event_time.read(column.to_pylist(), messages.unit)
