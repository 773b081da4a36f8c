"""What an exception of `poll()` means, and so what has to be done before polling again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    IllegalStateError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnsupportedCodecError,
    UnsupportedCompressionTypeError,
)
from kafka.structs import TopicPartition


class Fault(Enum):
    """The kinds of exceptions of `poll()`."""

    PASSING = "passing"
    """kafka-python tries again by itself."""
    BROKEN = "broken"
    """A batch cannot be read: seek past it first, or poll() spins for ever."""
    OUT_OF_RANGE = "out of range"
    """The log begins after the offset, or ends before it."""
    TRUNCATED = "truncated"
    """Rows that were read are gone from the log: an unclean leader election."""
    UNUSABLE = "unusable"
    """Nothing can be said of the consumer's state: build another one."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A fault and the partitions that it is about; none when the exception does not name them."""

    fault: Fault
    partitions: tuple[TopicPartition, ...]
    sentence: str


_NAMED = re.compile(r"TopicPartition\(topic='([^']+)', partition=(\d+)\)")


def diagnose(error: Exception) -> Diagnosis:
    """What an exception of `poll()` means."""
    sentence = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    named = tuple(TopicPartition(topic, int(number)) for topic, number in _NAMED.findall(str(error)))
    match error:
        case OffsetOutOfRangeError():
            return Diagnosis(Fault.OUT_OF_RANGE, _keys(error) or named, sentence)
        case LogTruncationError():
            return Diagnosis(Fault.TRUNCATED, tuple(error.divergent_offsets) or named, sentence)
        case CorruptRecordError() | UnsupportedCodecError() | UnsupportedCompressionTypeError():
            return Diagnosis(Fault.BROKEN, named, sentence)
        case NoOffsetForPartitionError() | IllegalStateError() | AuthorizationError():
            return Diagnosis(Fault.UNUSABLE, (), sentence)
        case KafkaError():
            return Diagnosis(Fault.PASSING if error.retriable else Fault.UNUSABLE, (), sentence)
        case _:
            # A codec fails with an exception of its own (RuntimeError of lz4, ZstdError, zlib.error), and a batch whose
            # lengths are nonsense with struct.error, ValueError, IndexError, AssertionError or TypeError.
            return Diagnosis(Fault.BROKEN, named, sentence)


def _keys(error: OffsetOutOfRangeError) -> tuple[TopicPartition, ...]:
    first = error.args[0] if error.args else None
    return tuple(first) if isinstance(first, dict) else ()
