"""A prediction that is no single value, as the text that it is kept by while it waits for its label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from detectors.values import value_text

MAX_SCORED_CLASSES = 100
"""Probabilities of more classes than this are not kept."""

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
