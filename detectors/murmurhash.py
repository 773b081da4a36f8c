"""MurmurHash64A (Appleby 2008) of many byte strings at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_FACTOR = np.uint64(0xC6A4A7935BD1E995)
_SHIFT = np.uint64(47)


def murmurhash(seed: int, texts: Sequence[bytes]) -> Words:
    """The 64-bit hash of each text; about 0.15 us a text of 36 bytes in a batch of a thousand.

    >>> [hex(value) for value in murmurhash(0, [b"", b"driftd"]).tolist()]
    ['0x0', '0x8a83a37165fffedf']
    """
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if not len(lengths):
        return np.empty(0, dtype=np.uint64)
    whole = lengths >> 3
    most = int(whole.max())
    order = None
    if int(whole.min()) != most:
        # Texts with the most words first: those that still have one are then always the first so many.
        order = np.argsort(-whole, kind="stable")
        texts = [texts[i] for i in order.tolist()]
        lengths, whole = lengths[order], whole[order]
    padded = np.array(texts, dtype=f"S{8 * (most + 1)}").view("<u8").reshape(len(lengths), most + 1)
    words = padded.T.astype(np.uint64, order="C")
    state = np.uint64(seed) ^ (lengths.astype(np.uint64) * _FACTOR)
    spare = np.empty_like(state)
    for place in range(most):
        left = len(lengths) if order is None else int(np.count_nonzero(whole > place))
        here, word, room = state[:left], words[place, :left], spare[:left]
        word *= _FACTOR
        np.right_shift(word, _SHIFT, out=room)
        word ^= room
        word *= _FACTOR
        here ^= word
        here *= _FACTOR
    rest = words[whole, np.arange(len(lengths))]
    state = np.where(lengths & 7, (state ^ rest) * _FACTOR, state)
    state = (state ^ (state >> _SHIFT)) * _FACTOR
    state ^= state >> _SHIFT
    if order is None:
        return state
    placed = np.empty_like(state)
    placed[order] = state
    return placed
