"""The shape that a configuration file must have, read off the settings classes.

Pydantic judges values; the shape says, before that, which keys there are, which values are secrets or paths, and
where names are the user's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from daemon.config.forms import Location, StandIn
from daemon.config.settings import Model, Settings
from daemon.config.suite import Deep

FILE_SUFFIX = "_file"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that has no keys below it; `is_text`: it is taken as it is written, even when it looks like a number.

    `is_deep`: lists and mappings below it are part of it, with keys that the format does not know.
    `stand_in` is a value that would do, for when there is none.
    """

    is_secret: bool = False
    is_text: bool = False
    is_location: bool = False
    is_deep: bool = False
    stand_in: str = StandIn().text


@dataclass(frozen=True, slots=True)
class Each:
    """A mapping whose keys are the user's own names."""

    of: Shape


@dataclass(frozen=True, slots=True)
class Group:
    """A mapping with known keys; `nullable`: null is a value of its own and not the same as nothing written."""

    fields: Mapping[str, Shape]
    nullable: bool = False

    @property
    def keys(self) -> list[str]:
        """Every key that may stand here, secrets also as a file's path."""
        files = [f"{key}{FILE_SUFFIX}" for key, shape in self.fields.items() if is_secret(shape)]
        return [*self.fields, *files]

    def secret_of(self, key: str) -> str | None:
        """The secret that `key` names the file of: `password` for `password_file`."""
        name = key.removesuffix(FILE_SUFFIX)
        return name if name != key and is_secret(self.fields.get(name)) else None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several groups, told apart by the value of one key."""

    by: str
    groups: Mapping[str, Group]


Shape = Leaf | Each | Group | Choice


def is_secret(shape: Shape | None) -> bool:
    """Whether the value is never shown."""
    return isinstance(shape, Leaf) and shape.is_secret


@cache
def file_shape() -> Group:
    """The shape of a whole file: the settings, and the `defaults` that are merged into every model."""
    settings = group_of(Settings)
    return Group({**settings.fields, "defaults": group_of(Model)})


@cache
def group_of(settings: type[BaseModel], nullable: bool = False) -> Group:
    """The shape of a settings class, by the keys that stand in the file."""
    fields = settings.model_fields
    return Group(
        {field.alias or name: _shape(field.annotation, field.metadata) for name, field in fields.items()}, nullable
    )


def _shape(annotation: Any, metadata: Iterable[Any] = ()) -> Shape:
    metadata = list(metadata)
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata += more
    origin = get_origin(annotation)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return Each(_shape(get_args(annotation)[1]))
    options = get_args(annotation) if origin in (Union, UnionType) else (annotation,)
    metadata += [more for option in options if get_origin(option) is Annotated for more in get_args(option)[1:]]
    options = tuple(get_args(option)[0] if get_origin(option) is Annotated else option for option in options)
    groups = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
    by = next((m.discriminator for m in metadata if isinstance(m, FieldInfo) and m.discriminator), None)
    if by is not None:
        return Choice(str(by), {tag: group_of(group) for group in groups for tag in _tags(group, str(by))})
    if groups:
        return group_of(groups[0], nullable=NoneType in options)
    return Leaf(
        is_secret=SecretStr in options,
        is_text=str in options or SecretStr in options,
        is_location=Path in options or Location in metadata,
        is_deep=Deep in metadata,
        stand_in=next(
            (mark.text for mark in metadata if isinstance(mark, StandIn)),
            "1" if int in options or float in options else StandIn().text,
        ),
    )


def _tags(group: type[BaseModel], by: str) -> tuple[str, ...]:
    return get_args(group.model_fields[by].annotation)
