"""Kafka's log on disk: finding a batch of records and breaking its checksum."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct(">qiibIhi")  # base offset, length, leader epoch, magic, CRC, attributes, last offset delta
_LENGTH_FROM = 12


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of a segment file: where it begins and how long it is in bytes, and the offsets [first, last]."""

    path: Path
    position: int
    size: int
    first: int
    last: int


def batches(broker: Path, topic: str, partition: int) -> Iterator[Batch]:
    """Every batch of a partition, in order; `broker` is the broker's own directory."""
    for path in sorted((broker / "data" / f"{topic}-{partition}").glob("*.log")):
        data = path.read_bytes()
        position = 0
        while position + _HEADER.size <= len(data):
            first, length, _, magic, _, _, delta = _HEADER.unpack_from(data, position)
            if length <= 0 or magic != 2:
                break
            yield Batch(path, position, length + _LENGTH_FROM, first, first + delta)
            position += length + _LENGTH_FROM


def break_checksum(batch: Batch) -> None:
    """Flip one bit in a batch's last byte, as a failing disk does."""
    with batch.path.open("r+b") as file:
        file.seek(batch.position + batch.size - 1)
        byte = file.read(1)[0]
        file.seek(batch.position + batch.size - 1)
        file.write(bytes([byte ^ 1]))
