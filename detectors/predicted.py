"""A prediction that is no single value, as the text that it is kept by while it waits for its label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from detectors.values import value_text

MAX_SCORED_CLASSES = 100
"""Probabilities of more classes than this are not kept."""

MAX_ITEMS = 1_000
"""So many items of a list are kept; what is beyond is cut off."""

_Scored = tuple[str | None, msgspec.Raw]
_read_scored = msgspec.json.Decoder(_Scored).decode
_write = msgspec.json.Encoder().encode


def scores_text(scores: Mapping[Any, Any] | Iterable[tuple[Any, Any]] | str | None) -> str | None:
    """A row's probabilities by class as JSON text; None without any, or with more than 100 classes.

    A Parquet file holds a mapping as an object or as pairs, a CSV file as JSON text. A class without a value (null) is
    one that the row does not name.

    >>> scores_text({"cat": 0.75, 2.0: 0.25, "dog": None})
    '{"cat":0.75,"2":0.25}'
    """
    if scores is None or isinstance(scores, str | float):
        return scores if isinstance(scores, str) else None
    pairs = scores.items() if isinstance(scores, Mapping) else scores
    named = {value_text(name): value for name, value in pairs if value is not None}
    return _write(named).decode() if 0 < len(named) <= MAX_SCORED_CLASSES else None


def scored_text(prediction: Any, scores: Mapping[str, Any] | None) -> str | float | None:
    """A predicted class with its probabilities as one text; without probabilities the class alone.

    >>> scored_text("cat", {"cat": 0.75, "dog": 0.25})
    '["cat",{"cat":0.75,"dog":0.25}]'
    """
    text = scores_text(scores)
    if text is None:
        return None if prediction is None else value_text(prediction)
    named = None if prediction is None else value_text(prediction)
    return f"[{_write(named).decode()},{text}]"


def read_scored(text: str | float | None) -> tuple[str | float | None, str | None]:
    """What `scored_text` was made of: the class, and the probabilities as JSON text or None.

    >>> read_scored('["cat",{"cat":0.75,"dog":0.25}]')
    ('cat', '{"cat":0.75,"dog":0.25}')
    >>> read_scored("cat"), read_scored(3.0)
    (('cat', None), (3.0, None))
    """
    if not isinstance(text, str) or not text.startswith(('["', "[null,")):
        return text, None
    try:
        prediction, scores = _read_scored(text)
    except msgspec.DecodeError:  # a class that begins like a list
        return text, None
    return prediction, bytes(scores).decode()


def items_of(value: Any) -> list[str] | None:
    """The items of a list as texts; None for what is no list of texts, numbers or truth values. Null is no item.

    >>> items_of(["a", 7, 7.0, None]), items_of([["a"]]), items_of("a")
    (['a', '7', '7'], None, None)
    """
    if not isinstance(value, list):
        return None
    there = [item for item in value if item is not None]
    if not all(isinstance(item, str | int | float) for item in there):
        return None
    return [value_text(item) for item in there]


def items_text(items: Sequence[str]) -> str:
    """Items as JSON text, at most 1,000 of them.

    >>> items_text(["a", "b"])
    '["a","b"]'
    """
    return _write(items[:MAX_ITEMS]).decode()


def drawn_item(items: Sequence[str], identity: int) -> str | None:
    """The one item that stands for a list where a column has one value a row; None of an empty list.

    Which one the hash of the request's id decides, so it is a fair draw and always the same. Its shares over requests
    are those of all shown items, each request weighing alike; and unlike ten items of one list, one of each of ten
    lists are independent, which is what the tests of shares take rows to be.

    >>> drawn_item(["a", "b", "c"], 4), drawn_item([], 4)
    ('b', None)
    """
    return items[identity % len(items)] if items else None
