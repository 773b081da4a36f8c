"""One text of each message, read without the rest: how the messages of a topic that many models share are told apart.

A hundred models that each look for their own name in every message cost 100 us a message; reading the name once and
looking it up costs 1 us.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from daemon.config.forms import nameable
from daemon.stream.mapping import Path


def texts_at(path: Path, values: Sequence[bytes | None]) -> list[str | None]:
    """The text at a path of each message; None where there is no text, or it cannot be told."""
    if not all(map(nameable, path)):
        return [None] * len(values)
    read = _reader(path)
    return [read(value) for value in values]


@lru_cache(maxsize=256)
def _reader(path: Path) -> Callable[[bytes | None], str | None]:
    kind: Any = Any
    for key in reversed(path):
        kind = msgspec.defstruct("Peek", [("field", kind | None, None)], rename={"field": key}, gc=False)
    decode = msgspec.json.Decoder(kind).decode
    depth = len(path)

    def read(value: bytes | None) -> str | None:
        if value is None:
            return None
        try:
            here: Any = decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        for _ in range(depth):
            if here is None:
                return None
            here = here.field
        return here if type(here) is str else None

    return read
