"""Small blobs: sparse counts and arrays as compressed bytes with a version in front."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from detectors.errors import CorruptBlob

_ESCAPE = 255
_LEVEL = 1
_SMALL = 48
"""Below this length compression adds more than it takes away."""


def pack(kind: bytes, sections: Sequence[bytes]) -> bytes:
    """Sections behind a two-byte head (kind, version); each compressed by itself, for each has its own statistics."""
    parts = [kind]
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    for section in sections:
        packed = bytes(compressor.compress(section)) if len(section) >= _SMALL else section
        if len(packed) >= len(section):
            packed = section
        # The lowest bit says whether the section is compressed.
        parts += [_varint(len(packed) << 1 | (packed is not section)), packed]
    return b"".join(parts)


def unpack(kind: bytes, data: bytes, sections: int) -> list[bytes]:
    """The sections that `pack` put in; CorruptBlob when the bytes are damaged, of another kind or version."""
    if data[:2] != kind:
        raise CorruptBlob(f"expected a blob of kind {kind!r}, got {data[:2]!r}: written by another version of driftd?")
    found, at = [], 2
    decompressor = zstandard.ZstdDecompressor()
    try:
        for _ in range(sections):
            head, at = _read_varint(data, at)
            section = data[at : at + (head >> 1)]
            if len(section) != head >> 1:
                raise CorruptBlob("a stored blob is cut short; restore the store from a backup")
            at += len(section)
            found.append(bytes(decompressor.decompress(section)) if head & 1 else section)
    except (zstandard.ZstdError, IndexError) as error:
        raise CorruptBlob(f"a stored blob is damaged ({error}); restore the store from a backup") from error
    return found


def pack_integers(values: NDArray[Any]) -> bytes:
    """Integers >= 0, mostly small: one byte each, the large ones behind."""
    small = np.minimum(values, _ESCAPE).astype(np.uint8)
    large = values[values >= _ESCAPE]
    return b"".join((struct.pack("<II", len(small), len(large)), small.tobytes(), large.astype("<u8").tobytes()))


def unpack_integers(data: bytes) -> NDArray[np.int64]:
    """The integers that `pack_integers` wrote."""
    try:
        size, large = struct.unpack_from("<II", data)
        values = np.frombuffer(data, dtype=np.uint8, count=size, offset=8).astype(np.int64)
        if large:
            values[values == _ESCAPE] = np.frombuffer(data, dtype="<u8", count=large, offset=8 + size).astype(np.int64)
    except (struct.error, ValueError) as error:
        raise CorruptBlob(f"a stored blob is damaged ({error}); restore the store from a backup") from error
    return values


def pack_counts(index: NDArray[Any], count: NDArray[Any]) -> list[bytes]:
    """A sparse vector as two sections: the gaps between ascending indices, and the counts (each at least 1)."""
    gaps = np.diff(index.astype(np.int64), prepend=-1) - 1
    return [pack_integers(gaps), pack_integers(count - 1)]


def unpack_counts(gaps: bytes, counts: bytes) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The sparse vector that `pack_counts` wrote."""
    index = np.cumsum(unpack_integers(gaps) + 1) - 1
    count = unpack_integers(counts) + 1
    if len(index) != len(count):
        raise CorruptBlob("a stored profile is damaged; restore the store from a backup")
    return index.astype(np.uint32), count


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
