"""A row of a file as a message: what the configured paths lead to, taken from the columns that are named after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from daemon.config.settings import Model
from daemon.stream.errors import HistoryError, MappingError
from daemon.stream.mapping import Path, column_path, field_conditions, split
from daemon.stream.spec import fields_of

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_INFINITE = {float("inf"): msgspec.Raw(b"1e999"), float("-inf"): msgspec.Raw(b"-1e999")}
"""JSON has no infinite number, but one that is too large is read as one."""

Cells = Callable[[pa.ChunkedArray], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """One value of each message: the path that it stands at, and the column that it comes from.

    `cells` makes it of the column. Where the file has no such column it is the `constant`, or nothing.
    """

    path: Path
    column: str
    cells: Cells
    constant: str | None = None


@dataclass(frozen=True, slots=True)
class Messages:
    """How rows become the messages of one topic.

    `time` names the column of event times. Rows without a value in a column of `needed` are no messages.
    """

    time: str
    unit: str
    parts: tuple[Part, ...]
    needed: tuple[str, ...] = ()
    unfolded: str | None = None
    """A column of lists: each of its items is a message of its own."""

    def bodies(self, table: pa.Table) -> list[bytes]:
        """The messages of a table's rows, in order."""
        messages: list[dict[str, Any]] = [{} for _ in range(table.num_rows)]
        for part in self.parts:
            values: Iterable[Any]
            if part.column in table.column_names:
                values = part.cells(table[part.column])
            elif part.constant is not None:
                values = [part.constant] * table.num_rows
            else:
                continue
            *above, last = part.path
            for message, value in zip(messages, values, strict=True):
                if value is None:
                    continue
                for key in above:
                    message = message.setdefault(key, {})
                message[last] = value
        return [_ENCODER.encode(message) for message in messages]


def prediction_messages(model: Model, columns: Sequence[str], label_time: str | None) -> Messages:
    """The messages of predictions, of files with these columns.

    A column goes by the last part of its message's path, or by the name that `reference.fields` gives it.

    Raises:
        HistoryError: the files have no column of ids or of times.
    """
    fields, given, source = model.predictions.fields, model.reference.fields, model.predictions
    time = given.timestamp or (_last(fields.timestamp) if fields.timestamp else None)
    if time is None:
        raise HistoryError("predictions.fields.timestamp is null: name the files' event times in reference.fields")
    named = [
        (fields.id, given.id, _plain),
        (fields.version, given.version, _plain),
        (fields.prediction, given.prediction, _lists if model.task == "recommendation" else _plain),
        (fields.score, given.score, _plain),
        (fields.scores, given.scores, _objects),
        (fields.item, None, _plain),
    ]
    parts = [Part(split(path), column or _last(path), cells) for path, column, cells in named if path is not None]
    if fields.timestamp is not None:
        parts.append(Part(split(fields.timestamp), time, _times(source.timestamp_unit)))
    marks = _marks(source.where)
    taken = {time, label_time, _label(model), *(part.column for part in (*parts, *marks))}
    mapped = fields_of(model)
    for column in columns:
        if column in taken:
            continue
        try:
            parts.append(Part(column_path(mapped, column), column, _plain))
        except MappingError:
            continue  # No message carries it.
    _require(columns, {"predictions.fields.id": parts[0].column, "predictions.fields.timestamp": time})
    return Messages(time, source.timestamp_unit, (*marks, *parts))


def label_messages(model: Model, columns: Sequence[str], label_time: str | None) -> Messages:
    """The messages of labels, of files with these columns; a label without a time of its own has the prediction's.

    Raises:
        HistoryError: the files have no column of ids, times or labels.
    """
    assert model.labels is not None
    fields, given = model.labels.fields, model.reference.fields
    ids = given.id or _last(model.predictions.fields.id)
    shown = model.predictions.fields.timestamp
    time = label_time or given.timestamp or (_last(shown) if shown else None)
    label = _label(model)
    assert label is not None
    _require(columns, {"labels.fields.id": ids, "labels.fields.label": label})
    if time is None or time not in columns:
        raise HistoryError(f"no column {time!r} of the labels' times: name it with --label-time; {_there(columns)}")
    parts = [Part(split(fields.id), ids, _plain), Part(split(fields.label), label, _plain)]
    if fields.timestamp is not None:
        parts.append(Part(split(fields.timestamp), time, _times(model.labels.timestamp_unit)))
    unfolded = label if model.several_labels else None
    unit = model.labels.timestamp_unit if label_time else model.predictions.timestamp_unit
    return Messages(time, unit, (*_marks(model.labels.where), *parts), (label,), unfolded)


def has_labels(model: Model, columns: Sequence[str]) -> bool:
    """Whether there is something to judge quality by."""
    return model.labels is not None and _label(model) in columns


def _marks(where: Mapping[str, str]) -> list[Part]:
    """What marks the model's own messages: from a column where there is one, and else every row is the model's."""
    return [Part(path, path[-1], _plain, text) for path, text in field_conditions(where)]


def _label(model: Model) -> str | None:
    given = model.reference.fields.label
    return given or (_last(model.labels.fields.label) if model.labels is not None else None)


def _require(columns: Sequence[str], wanted: Mapping[str, str]) -> None:
    for setting, column in wanted.items():
        if column not in columns:
            raise HistoryError(
                f"no column {column!r}, which {setting} leads to: name it in reference.fields; {_there(columns)}"
            )


def _there(columns: Sequence[str]) -> str:
    return f"there are {', '.join(map(repr, columns))}"


def _last(path: str) -> str:
    return split(path)[-1]


# What a column's cells become


def _plain(column: pa.ChunkedArray) -> Sequence[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    if pa.types.is_floating(column.type) and pc.any(pc.is_inf(column)).as_py():
        return [_INFINITE.get(value, value) for value in values]
    return values


def _times(unit: str) -> Cells:
    """Times as their messages would have them; numbers and texts stay what they are."""
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

    def cells(column: pa.ChunkedArray) -> Sequence[Any]:
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("us"))
        if not pa.types.is_timestamp(column.type):
            return _plain(column)
        micros = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        if unit == "rfc3339":
            return [None if at is None else f"{at:%Y-%m-%dT%H:%M:%S.%f}Z" for at in _in_utc(micros).to_pylist()]
        whole = micros.cast(pa.int64()).to_pylist()
        return [None if at is None else at * per_second[unit] // 1_000_000 for at in whole]

    return cells


def _in_utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same instants; a time without a zone is one of UTC."""
    return column.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))


def _decoded(value: Any, sign: str) -> Any:
    """A list or an object that may be stored as its JSON text."""
    if isinstance(value, str) and value.startswith(sign):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return value


def _lists(column: pa.ChunkedArray) -> Sequence[Any]:
    return [_decoded(value, "[") for value in _plain(column)]


def _objects(column: pa.ChunkedArray) -> Sequence[Any]:
    decoded = (_decoded(value, "{") for value in _plain(column))
    # A map of Arrow's comes as pairs.
    return [dict(value) if isinstance(value, list) else value for value in decoded]


def items(column: pa.ChunkedArray) -> list[list[Any]]:
    """The items of each list, also of one stored as JSON text; a single item is a list of one."""
    decoded = _lists(column)
    return [value if isinstance(value, list) else [] if value is None else [value] for value in decoded]
