"""Categorical values as text, and the hashes that order them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

TEXT_LIMIT = 64
"""Longer texts are cut to this length; the last 8 characters then tell them apart."""


def value_text(value: object) -> str:
    """A value as the text that it is compared and shown by: at most 64 characters.

    2 and 2.0 are the same text, because a column of integers with gaps comes from a file as floats.

    >>> value_text(True), value_text(2.0), value_text("UA")
    ('true', '2', 'UA')
    """
    if isinstance(value, str):
        if not value.isascii():
            # A lone surrogate, which JSON can carry, is no UTF-8 and would make the whole partial unwritable.
            value = value.encode("utf-8", "replace").decode()
        return value if len(value) <= TEXT_LIMIT else _cut(value)
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and math.isfinite(value) and float(value).is_integer():
        return value_text(str(int(value)))
    if isinstance(value, np.generic):
        value = value.item()
    return value_text(str(value))


def _cut(text: str) -> str:
    digest = blake2b(text.encode("utf-8"), digest_size=4).hexdigest()
    return f"{text[: TEXT_LIMIT - 9]}…{digest}"


def text_hash(text: str) -> int:
    """A hash of a text, 0 .. 2**64 - 1, that stays the same for ever: BLAKE2b, the first 8 bytes, little endian."""
    return int.from_bytes(blake2b(text.encode("utf-8"), digest_size=8).digest(), "little")


def text_hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    """`text_hash` of each text."""
    return np.array([text_hash(text) for text in texts], dtype=np.uint64)


def text_codes(series: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    """Each row's index into the sorted distinct texts of a column, -1 where it is missing; and those texts.

    Values that cannot be hashed, such as lists, are compared by their own text.
    """
    import pandas as pd

    if series.dtype == np.dtype(object):
        kinds = {type(value) for value in series}
        if bool in kinds and not kinds.isdisjoint({int, float}):
            # True == 1 is one value to a hash table, so the first of the two would name both.
            series = series.map(lambda value: int(value) if value is True or value is False else value)
    try:
        codes, uniques = pd.factorize(series)
    except TypeError:
        codes, uniques = pd.factorize(series.map(str, na_action="ignore"))
    texts = [value_text(value) for value in uniques]
    ordered = sorted(set(texts))
    place = {text: i for i, text in enumerate(ordered)}
    # The extra last entry is what a missing value's -1 picks.
    target = np.array([*(place[text] for text in texts), -1], dtype=np.int64)
    return target[codes], ordered
