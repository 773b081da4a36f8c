"""Names, addresses and paths as people write them: `kafka:9092`, `header:model`, `features.*`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue

from daemon.config.quantities import shown

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]]+):\d{1,5}")
_LAST_PORT = 65_535

REFERENCE_SUFFIXES = (".parquet", ".pq", ".csv")
HEADER = "header:"
"""What a condition on a Kafka header begins with."""
UNREAD_SECRETS = "unread_secrets"
"""Key of the context of a validation in which secrets have not been read."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """Marks a field with a value that stands in where it is missing, so that the rest can be checked all the same."""

    text: str = "x"


def scalar_text(value: object) -> object:
    """A number or a boolean as the text that stands in the file; anything else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _servers(value: object) -> object:
    """Kafka's own tools write several servers with commas between them, and so do their environment variables."""
    items = value if isinstance(value, list | tuple) else (value,)
    return tuple(
        part.strip() if isinstance(part, str) else part
        for item in items
        for part in (item.split(",") if isinstance(item, str) else (item,))
    )


def _not_empty(value: tuple[str, ...]) -> tuple[str, ...]:
    # Pydantic's own limit would count an item that is refused as one that is not there.
    if not value:
        raise ValueError("must not be empty")
    return value


def _check_server(value: str) -> str:
    host, port = _HOST_AND_PORT.fullmatch(value), value.rpartition(":")[2]
    if host is None or not 1 <= int(port) <= _LAST_PORT:
        raise ValueError(f"must be HOST:PORT, such as kafka:9092, with a port from 1 to 65535, not {shown(value)}")
    return value


def _check_listen(value: str) -> str:
    if _HOST_AND_PORT.fullmatch(value) is None or int(value.rpartition(":")[2]) > _LAST_PORT:
        raise ValueError(f"must be ADDRESS:PORT, such as 0.0.0.0:8080 or [::]:8080, not {shown(value)}")
    return value


def _is_url(value: str) -> bool:
    """Whether a request could be sent there."""
    if re.fullmatch(r"https?://\S+", value) is None:
        return False
    try:
        parts = urlsplit(value)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port above 65535, or a bracket left open
        return False


def _check_url(value: str) -> str:
    if not _is_url(value):
        raise ValueError(f"must be an address that begins with http:// or https://, not {shown(value)}")
    return value


def _check_secret_url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    # Where secrets are not read there is only the name of a variable or a file, and what it holds nobody knows.
    if not (info.context or {}).get(UNREAD_SECRETS) and not _is_url(value.get_secret_value()):
        raise ValueError("must be an address that begins with http:// or https://")
    return value


def _check_topic(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) is None or value in (".", ".."):
        allowed = "letters, digits, dots, dashes and underscores, at most 249"
        raise ValueError(f"{shown(value)} cannot be a Kafka topic's name: {allowed}")
    return value


def _check_file(value: str) -> str:
    scheme, _, path = value.partition("://") if "://" in value else ("file", "", "/" + value)
    if scheme != "file":
        raise ValueError(f"{scheme}:// is not read: copy the file to this machine and give its path")
    if not path.startswith("/"):
        raise ValueError(f"must be file:///PATH, with three slashes, not {shown(value)}")
    if PurePosixPath(path).suffix.lower() not in REFERENCE_SUFFIXES:
        raise ValueError(f"must end in .parquet or .csv, not {shown(PurePosixPath(path).name)}")
    return value


def nameable(key: str) -> bool:
    """Whether a decoder can be made that knows this key: one with quotes, backslashes or control characters it cannot.

    >>> nameable("dep_delay"), nameable('12" disc')
    (True, False)
    """
    return not any(character < " " or character in '"\\' for character in key)


def _check_path(value: str) -> str:
    parts = value.split(".")
    if not all(parts):
        raise ValueError(f"must be keys with single dots between them, such as model.name, not {shown(value)}")
    if not nameable(value):
        raise ValueError(f"a key with a quote, a backslash or a control character cannot be read: {shown(value)}")
    return value


def _check_condition(value: str) -> str:
    if value.startswith(HEADER):
        if value == HEADER:
            raise ValueError("names no header: write header:NAME")
        return value
    return _check_path(value)


def _check_pattern(value: str) -> str:
    if value != "*":
        _check_path(value)
    if "*" in value and not (value == "*" or ("*" not in value[:-1] and value.endswith(".*"))):
        raise ValueError(f"a star stands alone or for the last key, as in features.*, not as in {shown(value)}")
    return value


def _parse_features(value: object) -> str | tuple[str, ...]:
    if isinstance(value, str) and value:
        return _check_pattern(value)
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) and item for item in value):
        return tuple(_check_pattern(item) for item in value)
    raise ValueError(f"must be a field path such as features.*, or a list of them, not {shown(value)}")


def _crossed(value: object) -> object:
    if isinstance(value, str):
        return ((value,),)
    if isinstance(value, Sequence):
        return tuple((item,) if isinstance(item, str) else item for item in value)
    return value


_STRINGS: JsonSchemaValue = {"type": "array", "items": {"type": "string"}}
_NAME = Annotated[str, Field(min_length=1)]


def _form(pattern: str, words: str) -> tuple[AfterValidator, WithJsonSchema]:
    """What makes a string's type one of a form, with `words` for people instead of the pattern."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(f"must be {words}, not {shown(value)}")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


Url = Annotated[str, AfterValidator(_check_url), WithJsonSchema({"type": "string", "pattern": r"^https?://\S+$"})]
SecretUrl = Annotated[SecretStr, Field(min_length=1), AfterValidator(_check_secret_url), StandIn("http://x")]
"""An address that is a secret, because it may carry a token; not looked at where secrets are not read."""
Listen = Annotated[
    str,
    AfterValidator(_check_listen),
    WithJsonSchema({"type": "string", "pattern": f"^{_HOST_AND_PORT.pattern}$"}),
]
Identifier = Annotated[
    str, *_form(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "letters, digits, dots, dashes and underscores, at most 100")
]


class Location:
    """Marks a field that holds a path: a relative one is taken from the configuration's folder."""


Text = Annotated[str, BeforeValidator(scalar_text), WithJsonSchema({"type": ["string", "number", "boolean"]})]
"""A string that YAML may have read as a number or a boolean: `7` is "7", `true` is "true"."""

Names = Annotated[
    tuple[_NAME, ...],
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, _STRINGS]}),
]
"""A list of names; one name may stand without a list."""

Servers = Annotated[
    tuple[Annotated[str, AfterValidator(_check_server)], ...],
    AfterValidator(_not_empty),
    BeforeValidator(_servers),
    StandIn("x:1"),
    WithJsonSchema({"anyOf": [{"type": "string"}, {**_STRINGS, "minItems": 1}]}),
]
"""One `host:port`, several with commas between them, or a list."""

Topics = Annotated[
    tuple[Annotated[_NAME, AfterValidator(_check_topic)], ...],
    AfterValidator(_not_empty),
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {**_STRINGS, "minItems": 1}]}),
]
"""One topic, or a list of them."""

FieldPath = Annotated[str, Field(min_length=1), AfterValidator(_check_path)]
"""The dotted path of a field in a message."""

Condition = Annotated[str, AfterValidator(_check_condition)]
"""The dotted path of a field, or `header:NAME`."""

ReferenceFile = Annotated[str, Location, Field(min_length=1), AfterValidator(_check_file)]
"""A Parquet or CSV file on this machine."""

Features = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_parse_features),
    WithJsonSchema({"anyOf": [{"type": "string"}, {**_STRINGS, "minItems": 1}]}),
]
"""One field path, or a list of them."""

Groups = Annotated[
    tuple[Annotated[tuple[_NAME, ...], Field(min_length=1)], ...],
    BeforeValidator(_crossed),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": [{"type": "string"}, _STRINGS]}}]}
    ),
]
"""Lists of names; a name that stands alone is a list of one: `[a, b]` is `[[a], [b]]`."""
