"""Records of a batch: the same as kafka-python reads from the same bytes, and the same refusals."""

from __future__ import annotations

import struct
from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition

from daemon.stream.records import PartitionRecords

AT = TopicPartition("t", 3)
NONE, GZIP, SNAPPY = range(3)
CRC, ATTRIBUTES, CONTROL = 17, 21, 0x20

Aborted = namedtuple("Aborted", ["producer_id", "first_offset"])

# Lengths about which a number takes one byte more.
content = st.none() | st.binary(max_size=9) | st.builds(bytes, st.sampled_from([63, 64, 8_191, 8_192, 70_000]))
message = st.fixed_dictionaries(
    {
        "timestamp": st.integers(1_700_000_000_000, 1_700_000_000_000 + 2**40),
        "key": content,
        "value": content,
        "headers": st.lists(st.tuples(st.text(max_size=3) | st.just("\u00e9" * 64), content), max_size=2),
    }
)


def batch(
    messages: Sequence[dict[str, Any]],
    *,
    offset: int = 0,
    codec: int = NONE,
    magic: int = 2,
    producer_id: int = -1,
    control: bool = False,
) -> bytes:
    builder = MemoryRecordsBuilder(
        magic=magic,
        compression_type=codec,
        batch_size=1 << 24,
        transactional=producer_id >= 0,
        producer_id=producer_id,
        producer_epoch=0 if producer_id >= 0 else -1,
        base_sequence=0 if producer_id >= 0 else -1,
    )
    for one in messages:
        builder.append(**one)
    builder.close()
    body = bytearray(builder.buffer())
    if magic == 2:
        struct.pack_into(">q", body, 0, offset)
        if control:
            body[ATTRIBUTES + 1] |= CONTROL
        sealed(body)
    return bytes(body)


def sealed(body: bytearray) -> bytes:
    """The batch with the checksum that belongs to it."""
    struct.pack_into(">I", body, CRC, crc32c(bytes(body[ATTRIBUTES:])))
    return bytes(body)


def marker(offset: int, producer_id: int, *, commit: bool) -> bytes:
    record = {"timestamp": 1, "key": struct.pack(">hh", 0, int(commit)), "value": struct.pack(">hi", 0, 0)}
    return batch([record], offset=offset, producer_id=producer_id, control=True)


def reading(kind: Any, data: bytes, at: int = 0, take: int = 2, aborted: Sequence[Aborted] = ()) -> list[Any]:
    """What comes of reading all of it a few records at a time: the records, the next offset, the error."""
    part = kind(at, AT, MemoryRecords(data), None, None, True, IsolationLevel.READ_COMMITTED, aborted)
    found: list[Any] = []
    try:
        while part:
            found += [
                (one.topic, one.partition, one.offset, one.timestamp, one.value, [*one.headers])
                for one in part.take(take)
            ]
            found.append(part.next_fetch_offset)
    except CorruptRecordError:
        found.append(CorruptRecordError)
    return [*found, part.next_fetch_offset, part.leader_epoch]


def same(data: bytes, **how: Any) -> list[Any]:
    """What both ways to read find."""
    ours, theirs = reading(PartitionRecords, data, **how), reading(Fetcher.PartitionRecords, data, **how)
    assert ours == theirs
    return ours


@given(st.lists(st.lists(message, min_size=1, max_size=5), max_size=4), st.integers(0, 2**50), st.integers(1, 9))
def test_records_are_those_that_kafka_python_reads(batches: list[list[dict[str, Any]]], first: int, take: int) -> None:
    data, offset = b"", first
    for messages in batches:
        data += batch(messages, offset=offset)
        offset += len(messages) + 1  # as if the last record had been compacted away
    same(data, at=first, take=take)
    same(data, at=first + 2, take=take)


@pytest.mark.parametrize(
    ("magic", "codec"), [(0, NONE), (0, GZIP), (1, NONE), (1, SNAPPY), *((2, codec) for codec in range(5))]
)
def test_every_format_and_codec_of_kafka_is_read(magic: int, codec: int) -> None:
    messages = [{"timestamp": 1_700_000_000_000 + i, "key": b"k", "value": b"%d" % i * i} for i in range(200)]
    found = reading(PartitionRecords, batch(messages, codec=codec, magic=magic), take=500)
    assert [(one[2], one[4]) for one in found[:200]] == [(i, b"%d" % i * i) for i in range(200)]
    assert found[7][3] == (1_700_000_000_007 if magic else -1)  # the first format had no times


def test_aborted_transactions_and_markers_are_passed_over() -> None:
    one = {"timestamp": 1, "key": None, "value": b"x"}
    data = b"".join(
        [
            batch([one] * 2, offset=0, producer_id=1),
            batch([one] * 3, offset=2, producer_id=2),
            marker(5, 1, commit=False),
            batch([one], offset=6, producer_id=1),
            batch([one] * 2, offset=7),
            marker(9, 1, commit=True),
            marker(10, 2, commit=True),
        ]
    )
    found = same(data, aborted=[Aborted(1, 0)])
    assert [row[2] for row in found if isinstance(row, tuple)] == [2, 3, 4, 6, 7, 8]
    assert found[-2] == 11


@given(st.lists(message, min_size=1, max_size=3), st.data())
def test_a_changed_byte_is_found_by_the_checksum(messages: list[dict[str, Any]], data: st.DataObject) -> None:
    body = bytearray(batch(messages))
    body[data.draw(st.integers(CRC, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    assert same(bytes(body))[0] is CorruptRecordError


@pytest.mark.parametrize("cut", [1, 3, 60, 70])
@pytest.mark.parametrize("grown", [False, True])
def test_a_batch_that_contradicts_itself_ends_after_its_last_sound_record(cut: int, grown: bool) -> None:
    body = bytearray(batch([{"timestamp": 1, "key": None, "value": b"v" * 50}] * 3))
    body = body + b"\0" * cut if grown else body[:-cut]
    struct.pack_into(">i", body, 8, len(body) - 12)
    found = same(sealed(body), take=1)
    assert CorruptRecordError in found
    assert [row[2] for row in found if isinstance(row, tuple)][:1] == [0]


@pytest.mark.parametrize("number", [b"\xff" * 9 + b"\x01", b"\xff" * 12])
def test_a_number_that_never_ends_is_no_record(number: bytes) -> None:
    body = bytearray(batch([{"timestamp": 1, "key": None, "value": b"v" * 50}]))
    body[61 : 61 + len(number)] = number
    assert CorruptRecordError in same(sealed(body))
