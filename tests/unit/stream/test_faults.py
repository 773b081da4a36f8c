"""What each exception of poll() means."""

from __future__ import annotations

import struct

import pytest
from kafka import errors
from kafka.structs import TopicPartition

from daemon.stream.faults import Fault, diagnose

AT = TopicPartition("t", 3)


@pytest.mark.parametrize(
    ("error", "fault", "partitions"),
    [
        (
            errors.CorruptRecordError(f"Record batch for partition {AT} failed crc check"),
            Fault.BROKEN,
            (AT,),
        ),
        (errors.UnsupportedCodecError("Libraries for zstd compression codec not found"), Fault.BROKEN, ()),
        (struct.error("unpack requires a buffer of 4 bytes"), Fault.BROKEN, ()),
        (RuntimeError("LZ4F_decompress failed with code: ERROR_frameType_unknown"), Fault.BROKEN, ()),
        (errors.OffsetOutOfRangeError({AT: 7}), Fault.OUT_OF_RANGE, (AT,)),
        (errors.LogTruncationError({AT: None}), Fault.TRUNCATED, (AT,)),
        (errors.KafkaTimeoutError("Timed out"), Fault.PASSING, ()),
        (errors.NotLeaderForPartitionError(), Fault.PASSING, ()),
        (errors.TopicAuthorizationFailedError({"t"}), Fault.UNUSABLE, ()),
        (errors.IllegalStateError("KafkaConsumer is closed"), Fault.UNUSABLE, ()),
        (errors.KafkaError("Failed to make progress"), Fault.UNUSABLE, ()),
    ],
)
def test_an_exception_is_classified(error: Exception, fault: Fault, partitions: tuple[TopicPartition, ...]) -> None:
    found = diagnose(error)
    assert (found.fault, found.partitions) == (fault, partitions)
    assert type(error).__name__ in found.sentence
