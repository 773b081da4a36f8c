"""One JSON message by itself: the object that it holds, or exactly why it holds none."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

MAX_BYTES = 1 << 20
"""A larger message is rejected."""
MAX_DEPTH = 32
"""A message with objects and lists nested deeper is rejected, whatever they hold."""

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{\]}]', re.DOTALL)
_EXCERPT = 60


class Unreadable(Exception):
    """A message that holds no usable object: a short reason, and the details in words."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def parse(value: bytes) -> dict[str, Any]:
    """The object that a message holds.

    Raises:
        Unreadable: it is too large, nested too deep, no JSON, or no object.
    """
    if len(value) > MAX_BYTES:
        raise Unreadable("too large", f"The message has {len(value):,} bytes; {MAX_BYTES:,} are the limit.")
    if may_be_deep(value) and depth(value) > MAX_DEPTH:
        raise Unreadable("nested too deep", f"Objects and lists are nested deeper than {MAX_DEPTH}.")
    try:
        found = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _why(value, error) from None
    if not isinstance(found, dict):
        raise Unreadable("not an object", f"The message is {kind_of(found)}, not an object.")
    return found


def may_be_deep(value: bytes) -> bool:
    """Whether there are brackets enough, wherever they stand. Cheap, for every message."""
    return value.count(b"{") + value.count(b"[") > MAX_DEPTH


def depth(value: bytes) -> int:
    """How deep objects and lists are nested, whether or not the message is JSON."""
    level = deepest = 0
    for token in _TOKEN.finditer(value):
        match token.group()[:1]:
            case b"{" | b"[":
                level += 1
                deepest = max(deepest, level)
            case b"}" | b"]":
                level -= 1
    return deepest


def _why(value: bytes, error: Exception) -> Unreadable:
    """What is wrong with a message that is no JSON; the standard library is laxer, and so tells kinds apart."""
    try:
        text = value.decode()
    except UnicodeDecodeError as broken:
        return Unreadable("not UTF-8", f"The message is not UTF-8: {broken.reason} at byte {broken.start}.")
    try:
        json.loads(text, parse_constant=_constant)
    except Unreadable as constant:
        return constant
    except (ValueError, RecursionError):
        start = text[:_EXCERPT]
        return Unreadable("not JSON", f"The message is not JSON ({error}); it begins with {start!r}.")
    return Unreadable("not JSON", f"The message holds what JSON has no room for: {error}.")


def _constant(name: str) -> NoReturn:
    raise Unreadable("NaN literal", f"The message holds {name}, which is not JSON: write null for a missing value.")


def kind_of(value: object) -> str:
    """What a value is, in JSON's words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"
