"""Message formats: each is one module here, which registers itself under the name that the configuration uses."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from daemon.stream.mapping import Plan


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that cannot be counted: its place in the batch, a short reason, and the details in words."""

    index: int
    reason: str
    detail: str


@dataclass(slots=True)
class Decoded:
    """A batch of messages in columns.

    `index` holds the places of the messages that were decoded, in order; every column is as long. `ignored` counts
    messages that `where` gives to others, `new_fields` the messages in which a feature that no column has was noticed.
    """

    index: NDArray[np.int64]
    ids: Sequence[str]
    times: Sequence[Any] | None
    versions: Sequence[Any] | None
    items: Sequence[Any] | None
    columns: Mapping[str, Sequence[Any]]
    mistyped: Mapping[str, NDArray[np.bool_]]
    rejected: list[Rejection]
    ignored: int = 0
    new_fields: Mapping[str, int] = field(default_factory=dict)


class Decoder(Protocol):
    """Decodes batches by one plan. It may learn from what it sees; what becomes of a message never depends on that."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """The batch in columns. None and empty values are tombstones: nobody's message, so ignored."""
        ...

    def message(self, value: bytes) -> Mapping[str, Any]:
        """Everything that one message holds which `decode` has taken."""
        ...


MakeDecoder = Callable[[Plan], Decoder]

_FORMATS: dict[str, MakeDecoder] = {}


def message_format(name: str) -> Callable[[MakeDecoder], MakeDecoder]:
    """Register a format under the name that `predictions.format` and `labels.format` use."""

    def register(make: MakeDecoder) -> MakeDecoder:
        _FORMATS[name] = make
        return make

    return register


def formats() -> Mapping[str, MakeDecoder]:
    """Every format, by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_FORMATS.items()))
