"""From dotted paths to what a decoder has to fetch from each message."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from daemon.config.forms import HEADER, nameable
from daemon.config.settings import Labels, Model
from daemon.stream.errors import MappingError
from daemon.stream.spec import Fields
from detectors.columns import LIST_LENGTH, PREDICTION, ColumnType
from detectors.layout import CategoricalLayout, Layout

Path = tuple[str, ...]


class Kind(StrEnum):
    """What a field may hold; null and absence are missing values of every kind but an id or a timestamp."""

    ID = "id"
    TEXT_TIME = "text time"
    NUMBER_TIME = "number time"
    INTEGER = "integer"
    NUMBER = "number"
    SCALAR = "scalar"
    SHARES = "shares"
    ITEMS = "items"
    ANYTHING = "anything"


ACCEPTED: Mapping[Kind, tuple[type, ...]] = {
    Kind.ID: (str, int),
    Kind.TEXT_TIME: (str,),
    Kind.NUMBER_TIME: (int, float),
    Kind.INTEGER: (int,),
    Kind.NUMBER: (int, float),
    Kind.SCALAR: (str, int, float, bool),
    Kind.SHARES: (dict,),
    Kind.ITEMS: (list,),
}
"""The types of a kind's values, exactly: true is no number. A kind that is not listed takes everything."""

REQUIRED = frozenset({Kind.ID, Kind.TEXT_TIME, Kind.NUMBER_TIME})
"""The kinds of which a value must be there."""

WANTED: Mapping[Kind, str] = {
    Kind.ID: "a string or an integer",
    Kind.TEXT_TIME: "a string",
    Kind.NUMBER_TIME: "a number",
    Kind.INTEGER: "an integer",
    Kind.NUMBER: "a number",
    Kind.SCALAR: "a string, a number, true or false",
    Kind.SHARES: "an object of numbers",
    Kind.ITEMS: "a list",
}
"""What a message must hold for each kind, in JSON's words."""


USUAL = 256
"""So many of a category's texts are told to the decoder."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One value to fetch from each message, and the name that it goes by.

    `usual` are the texts that it mostly is: a decoder may be faster with them, and must take any other as well.
    """

    name: str
    path: Path
    kind: Kind
    usual: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Everything to fetch from one topic's messages for one model, hashable so that equal models share a decoder.

    `where` holds the fields that mark the model's messages, with the text that each must have. `open_under` is the path
    below which keys that no column has are new features (None: there are no open features), `known` the keys there
    that are left out on purpose.
    """

    id: Fetch
    time: Fetch | None
    version: Fetch | None
    item: Fetch | None
    columns: tuple[Fetch, ...]
    where: tuple[tuple[Path, str], ...] = ()
    open_under: Path | None = None
    known: frozenset[str] = frozenset()

    @property
    def fetches(self) -> tuple[Fetch, ...]:
        """Every value to fetch; those of `where` are named by their place, 0 first."""
        named = (self.id, self.time, self.version, self.item)
        marks = (Fetch(f"where {i}", path, Kind.SCALAR) for i, (path, _) in enumerate(self.where))
        return (*(fetch for fetch in named if fetch is not None), *self.columns, *marks)


def field_conditions(where: Mapping[str, str]) -> tuple[tuple[Path, str], ...]:
    """The conditions of `where` that are on fields of the message."""
    return tuple((split(path), text) for path, text in sorted(where.items()) if not path.startswith(HEADER))


def header_conditions(where: Mapping[str, str]) -> tuple[tuple[str, bytes], ...]:
    """The conditions of `where` that are on Kafka headers."""
    return tuple(
        (path.removeprefix(HEADER), text.encode()) for path, text in sorted(where.items()) if path.startswith(HEADER)
    )


def prediction_plan(model: Model, fields: Fields, layouts: Sequence[Layout]) -> Plan:
    """What to fetch from prediction messages: the columns of every layout in force, and the prediction itself.

    Raises:
        MappingError: two fields contradict each other.
    """
    columns: dict[str, Fetch] = {}
    unfolded: frozenset[str] = frozenset()
    if fields.lists and fields.prediction is not None:
        unfolded = frozenset({PREDICTION, LIST_LENGTH})
        columns[PREDICTION] = Fetch(PREDICTION, split(fields.prediction), Kind.ITEMS)
    for layout in layouts:
        for column in layout.columns:
            if column.name in unfolded:
                continue
            path = column_path(fields, column.name)
            kind = Kind.NUMBER if column.type is ColumnType.NUMERIC else Kind.SCALAR
            if column.id_like:
                kind = Kind.ANYTHING
            known = columns.get(column.name)
            if known is not None and known.kind is not kind:
                kind = Kind.ANYTHING
            usual = column.vocabulary[:USUAL] if isinstance(column, CategoricalLayout) else ()
            columns[column.name] = Fetch(column.name, path, kind, usual)
    for name, field in (("prediction", fields.prediction), ("score", fields.score)):
        if field is not None and name not in columns:
            columns[name] = Fetch(name, split(field), Kind.NUMBER if name == "score" else Kind.SCALAR)
    if fields.scores is not None:
        columns["scores"] = Fetch("scores", split(fields.scores), Kind.SHARES)
    # Without a layout every feature is new, and none of them is news.
    wildcard = _wildcard(fields) if any(layout.columns for layout in layouts) else None
    plan = Plan(
        id=Fetch("id", split(fields.id), Kind.ID),
        time=_time(fields.timestamp, fields.timestamp_unit),
        version=None if fields.version is None else Fetch("version", split(fields.version), Kind.SCALAR),
        item=None if fields.item is None else Fetch("item", split(fields.item), Kind.INTEGER),
        columns=tuple(columns.values()),
        where=field_conditions(model.predictions.where),
        open_under=wildcard,
        known=frozenset(model.columns.exclude),
    )
    check(plan)
    return plan


def label_plan(labels: Labels) -> Plan:
    """What to fetch from label messages; the label is the one column.

    Raises:
        MappingError: two fields contradict each other.
    """
    plan = Plan(
        id=Fetch("id", split(labels.fields.id), Kind.ID),
        time=_time(labels.fields.timestamp, labels.timestamp_unit),
        version=None,
        item=None,
        columns=(Fetch("label", split(labels.fields.label), Kind.SCALAR),),
        where=field_conditions(labels.where),
    )
    check(plan)
    return plan


def _time(path: str | None, unit: str) -> Fetch | None:
    if path is None:
        return None
    return Fetch("timestamp", split(path), Kind.TEXT_TIME if unit == "rfc3339" else Kind.NUMBER_TIME)


def split(path: str) -> Path:
    """The keys of a dotted path."""
    return tuple(path.split("."))


def column_path(fields: Fields, column: str) -> Path:
    """Where a message holds a column of the reference.

    A listed path serves the column that goes by its last part, or by the whole of it; every other column is a key, or
    a dotted path, below the one open pattern.

    Raises:
        MappingError: no pattern covers the column.
    """
    if column == "prediction" and fields.prediction is not None:
        return split(fields.prediction)
    if column == "score" and fields.score is not None:
        return split(fields.score)
    # A feature that shares its name with the prediction or the score is told apart by this prefix.
    plain = column.removeprefix("features.") if column in ("features.prediction", "features.score") else column
    for pattern in fields.features:
        if not is_open(pattern) and plain in (pattern, pattern.rpartition(".")[2]):
            return split(pattern)
    under = _wildcard(fields)
    if under is None:
        raise MappingError(f"No path of predictions.fields.features leads to the reference's column {column!r}.")
    return (*under, *split(plain))


def is_open(pattern: str) -> bool:
    """Whether a pattern of features stands for whatever keys there are."""
    return pattern == "*" or pattern.endswith(".*")


def _wildcard(fields: Fields) -> Path | None:
    patterns = [pattern for pattern in fields.features if is_open(pattern)]
    if len(patterns) > 1:
        raise MappingError(
            f"predictions.fields.features has several open patterns ({', '.join(patterns)}); one at most can be open."
        )
    if not patterns:
        return None
    return () if patterns[0] == "*" else split(patterns[0][:-2])


def check(plan: Plan) -> None:
    """A value cannot be both a field and an object that holds other fields, and every key must be readable.

    Raises:
        MappingError: with the paths.
    """
    paths: Collection[Path] = {fetch.path for fetch in plan.fetches}
    for path in paths:
        if not all(map(nameable, path)):
            raise MappingError(f"{'.'.join(path)!r} cannot be read from messages: leave it out by columns.exclude.")
        for length in range(1, len(path)):
            if path[:length] in paths:
                raise MappingError(
                    f"{'.'.join(path[:length])} cannot be a field and hold the field {'.'.join(path)} as well."
                )
