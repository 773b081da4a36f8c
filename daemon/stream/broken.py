"""Batches that cannot be read: the partition that they are in is found, and their offsets become dead letters."""

from __future__ import annotations

import time
from collections.abc import Collection

from kafka.structs import TopicPartition

from daemon.store.dead_letters import DeadLetter
from daemon.stream.buffer import Buffer
from daemon.stream.consumer import Consumer
from daemon.stream.partitions import PartitionState
from detectors.instants import Micros

_SUSPECT_SECONDS = 2.0


class BrokenBatches:
    """While it is not known which partition a broken batch is in, they are read one at a time."""

    def __init__(self) -> None:
        self._suspects: list[TopicPartition] = []
        self._since = 0.0

    @property
    def is_searching(self) -> bool:
        """Whether partitions are read one at a time."""
        return bool(self._suspects)

    def suspect(self, partitions: Collection[TopicPartition]) -> None:
        """The batch is in one of these."""
        self._suspects = sorted(partitions)
        self._since = time.monotonic()

    def single_out(self, kafka: Consumer, assigned: frozenset[TopicPartition]) -> TopicPartition | None:
        """The one partition that the next poll reads; None when it reads all of them."""
        self._suspects = [at for at in self._suspects if at in assigned]
        if not self._suspects:
            return None
        kafka.pause(assigned - {self._suspects[0]})
        kafka.resume([self._suspects[0]])
        return self._suspects[0]

    def clear(self, kafka: Consumer, assigned: frozenset[TopicPartition], *, has_rows: bool) -> None:
        """The one that was singled out did not fail: with rows, or after some time without, it is the next one's turn.

        After the last one all are read again.
        """
        if has_rows or time.monotonic() - self._since > _SUSPECT_SECONDS:
            self._suspects.pop(0)
            self._since = time.monotonic()
            if not self._suspects:
                kafka.resume(assigned)

    def skip(self, kafka: Consumer, state: PartitionState, buffer: Buffer, sentence: str, now: Micros) -> None:
        """Give up one offset of a batch that cannot be read; the next poll fails again until the batch is behind."""
        self._since = time.monotonic()
        at = state.at
        offset = max(state.read, kafka.passed(at) or 0)
        models = {cursor.flow.model for cursor in state.reading if cursor.next_offset <= offset}
        buffer.add_dead_letter(
            DeadLetter(
                model=next(iter(models)) if len(models) == 1 else None,
                topic=at.topic,
                partition=at.partition,
                offset=offset,
                offset_end=offset + 1,
                reason="broken batch",
                detail=f"Kafka's batch cannot be read: {sentence}",
                payload=None,
                at=now,
            )
        )
        for model in models:
            buffer.books[model].update({"messages": 1, "dead_lettered": 1})
        state.step_over(offset + 1)
        kafka.seek(at, offset + 1)
