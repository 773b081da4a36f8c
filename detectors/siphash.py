"""SipHash-2-4 (Aumasson and Bernstein 2012) of many byte strings at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_INITIAL = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def siphash(key: bytes, texts: Sequence[bytes]) -> Words:
    """The 64-bit hash of each text under a key of 16 bytes; about 0.3 us a text of 36 bytes.

    >>> hex(siphash(bytes(range(16)), [bytes(range(15))])[0])  # the paper's own example
    '0xa129ca6149be45e5'
    """
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if not len(lengths):
        return np.empty(0, dtype=np.uint64)
    blocks = lengths // 8 + 1
    most = int(blocks.max())
    order = None
    if int(blocks.min()) != most:
        # Texts with the most blocks first: those that still have one are then always the first so many.
        order = np.argsort(-blocks, kind="stable")
        texts = [texts[i] for i in order.tolist()]
        lengths, blocks = lengths[order], blocks[order]
    padded = np.array(texts, dtype=f"S{8 * most}")
    words = padded.view("<u8").reshape(len(lengths), most).T.astype(np.uint64, order="C")
    words[blocks - 1, np.arange(len(lengths))] |= (lengths & 0xFF).astype(np.uint64) << np.uint64(56)
    halves = [np.uint64(int.from_bytes(half, "little")) for half in (key[:8], key[8:])]
    state = [np.full(len(lengths), np.uint64(i) ^ half) for i, half in zip(_INITIAL, halves * 2, strict=True)]
    spare = np.empty(len(lengths), dtype=np.uint64)
    for place in range(most):
        left = len(lengths) if order is None else int(np.count_nonzero(blocks > place))
        here, word, room = [part[:left] for part in state], words[place, :left], spare[:left]
        here[3] ^= word
        _round(here, room)
        _round(here, room)
        here[0] ^= word
    state[2] ^= np.uint64(0xFF)
    for _ in range(4):
        _round(state, spare)
    hashes = state[0] ^ state[1] ^ state[2] ^ state[3]
    if order is None:
        return hashes
    placed = np.empty_like(hashes)
    placed[order] = hashes
    return placed


def _round(state: Sequence[Words], room: Words) -> None:
    v0, v1, v2, v3 = state
    v0 += v1
    v2 += v3
    _rotate(v1, 13, room)
    _rotate(v3, 16, room)
    v1 ^= v0
    v3 ^= v2
    _rotate(v0, 32, room)
    v2 += v1
    v0 += v3
    _rotate(v1, 17, room)
    _rotate(v3, 21, room)
    v1 ^= v2
    v3 ^= v0
    _rotate(v2, 32, room)


def _rotate(word: Words, by: int, room: Words) -> None:
    np.right_shift(word, np.uint64(64 - by), out=room)
    np.left_shift(word, np.uint64(by), out=word)
    word |= room
