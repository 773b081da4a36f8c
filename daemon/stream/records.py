"""Kafka's record batches, read at less than a third of the cost of kafka-python's own way.

kafka-python makes a call for each field of a record and two objects in all, which is more than half of what a bare poll
loop costs. Everything around the records stays kafka-python's: fetching, checksums, codecs, transactions. Its parts
that are not public are used in this module and in `consumer` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.structs import TopicPartition

_VERSION = 2
"""The batch format of Kafka since 0.11; kafka-python reads older ones."""

Headers = tuple[tuple[str, bytes | None], ...]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as far as it is looked at; `timestamp` in milliseconds, -1 where Kafka has none."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: Headers = ()


class PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What one fetch brought of a partition, record by record.

    Raises the errors of kafka-python at the same offsets: CorruptRecordError, and whatever a codec raises.
    """

    def _unpack_records(self, tp: TopicPartition, records: Any, *_deserializers: object) -> Iterator[Record]:
        next_offset = None
        while (batch := records.next_batch()) is not None:
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"the batch of {tp} at offset {batch.base_offset} has a wrong checksum")
            if batch.magic < _VERSION:
                next_offset = None
                yield from self._read_old(tp, batch)
                continue
            next_offset = batch.next_offset
            self.leader_epoch = batch.leader_epoch
            if self._is_aborted(batch) or batch.is_control_batch:
                self.next_fetch_offset = next_offset
            else:
                yield from self._read(tp, batch)
        if next_offset is not None:
            # Compaction keeps a batch's last offset even when it takes the last record.
            self.next_fetch_offset = next_offset
        self.drain()

    def _is_aborted(self, batch: Any) -> bool:
        """Whether a batch is of a transaction that was aborted; learns from the markers that end one."""
        if self.isolation_level != IsolationLevel.READ_COMMITTED or not batch.has_producer_id():
            return False
        self._consume_aborted_transactions_up_to(batch.last_offset)
        if self._contains_abort_marker(batch):
            self.aborted_producer_ids.discard(batch.producer_id)
            return False
        return bool(self._is_batch_aborted(batch))

    def _read_old(self, tp: TopicPartition, batch: Any) -> Iterator[Record]:
        for record in batch:
            if self.check_crcs and not record.validate_crc():
                raise CorruptRecordError(f"the record of {tp} at offset {record.offset} has a wrong checksum")
            self.next_fetch_offset = record.offset + 1
            timestamp = -1 if record.timestamp is None else record.timestamp
            yield Record(tp.topic, tp.partition, record.offset, timestamp, record.value)

    def _read(self, tp: TopicPartition, batch: Any) -> Iterator[Record]:
        iter(batch)  # decompresses
        data, at = bytes(batch._buffer), batch._pos
        topic, partition, first_offset = tp.topic, tp.partition, batch.base_offset
        times, first_time = (0, batch.max_timestamp) if batch.timestamp_type else (1, batch.first_timestamp)
        try:
            for _ in range(batch.records_count):
                # Numbers of one or two bytes, which nearly all are, are read where they stand: a call for each would
                # double the cost.
                number = data[at]
                at += 1
                if number > 127:
                    more = data[at]
                    at += 1
                    if more > 127:
                        number, at = _varint(data, at - 2)
                    else:
                        number = number & 127 | more << 7
                end = at + (number >> 1 ^ -(number & 1))
                at += 1  # attributes, of which there are none
                number = data[at]
                at += 1
                if number > 127:
                    more = data[at]
                    at += 1
                    if more > 127:
                        number, at = _varint(data, at - 2)
                    else:
                        number = number & 127 | more << 7
                timestamp = first_time + times * (number >> 1 ^ -(number & 1))
                number = data[at]
                at += 1
                if number > 127:
                    more = data[at]
                    at += 1
                    if more > 127:
                        number, at = _varint(data, at - 2)
                    else:
                        number = number & 127 | more << 7
                offset = first_offset + (number >> 1 ^ -(number & 1))
                number = data[at]
                at += 1
                if number != 1:
                    if number > 127:
                        number, at = _varint(data, at - 1)
                    if not number & 1:
                        at += number >> 1  # the key
                number = data[at]
                at += 1
                if number > 127:
                    more = data[at]
                    at += 1
                    if more > 127:
                        number, at = _varint(data, at - 2)
                    else:
                        number = number & 127 | more << 7
                if number & 1:
                    value = None
                else:
                    start = at
                    at += number >> 1
                    value = data[start:at]
                number = data[at]
                at += 1
                headers: Headers = ()
                if number:
                    headers, at = _headers(data, at - 1)
                if at != end:
                    raise CorruptRecordError(f"the record of {tp} at offset {offset} is not as long as it says")
                self.next_fetch_offset = offset + 1
                yield Record(topic, partition, offset, timestamp, value, headers)
        except (IndexError, ValueError) as error:
            raise CorruptRecordError(f"a record of {tp} after offset {self.next_fetch_offset - 1}: {error}") from error
        if at != len(data):
            raise CorruptRecordError(f"the batch of {tp} at offset {first_offset} is longer than its records")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, its sign still in the lowest bit (zigzag), and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift >= 70:
            raise ValueError("a number of more than 64 bits")


def _signed(data: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(data, at)
    return number >> 1 ^ -(number & 1), at


def _headers(data: bytes, at: int) -> tuple[Headers, int]:
    count, at = _signed(data, at)
    if count < 0:
        raise ValueError("less than no headers")
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        length, at = _signed(data, at)
        if length < 0:
            raise ValueError("a header without a key")
        key = data[at : at + length].decode()
        at += length
        length, at = _signed(data, at)
        headers.append((key, data[at : at + length] if length >= 0 else None))
        at += max(0, length)
    return (*headers,), at
