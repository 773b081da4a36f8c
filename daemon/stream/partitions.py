"""What intake knows of each partition, and how far each flow has come in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from kafka.structs import TopicPartition

from daemon.store.positions import Partition, Position
from daemon.stream.flows import Flow
from detectors.instants import Micros


@dataclass(slots=True, eq=False)
class Cursor:
    """One flow's place in one partition. `stored` is the next offset that the store has, None before the first.

    `stored_event_time` is the highest event time that it has. `held_at` is the event time of the next row while that
    lies beyond what the model's reference is collected from; its time counts already.
    """

    flow: Flow
    next_offset: int
    stored: int | None = None
    max_event_time: Micros | None = None
    last_record_time: Micros | None = None
    gap_is_open: bool = False
    gap_ends: Micros | None = None
    stored_event_time: Micros | None = None
    held_at: Micros | None = None

    @property
    def is_stored(self) -> bool:
        """Whether the store has what this cursor has."""
        return (self.stored, self.stored_event_time) == (self.next_offset, self.max_event_time)

    def now_stored(self) -> None:
        """The store has what this cursor has."""
        self.stored, self.stored_event_time = self.next_offset, self.max_event_time

    @property
    def data_watermark(self) -> Micros | None:
        """The event time up to which no more rows are expected in order."""
        lateness = self.flow.lateness
        if self.max_event_time is None or lateness is None:
            return None
        return self.max_event_time - lateness.watermark_delay


@dataclass(slots=True, eq=False)
class PartitionState:
    """One partition of one topic, whatever the model.

    `read` is the offset that the consumer goes on from. `run_end` is where a run that ends by itself stops reading.
    `stopped` says why nothing more is read, None while all is well.
    """

    at: TopicPartition
    cluster_id: str
    topic_id: str
    cursors: dict[tuple[str, str], Cursor] = field(default_factory=dict)
    read: int = 0
    last_record_time: Micros | None = None
    max_event_time: Micros | None = None
    end_offset: int | None = None
    attested_at: Micros | None = None
    attested_checkpoint: int | None = None
    run_end: int | None = None
    stopped: str | None = None

    @property
    def active(self) -> list[Cursor]:
        """The cursors of flows that can count."""
        return [cursor for cursor in self.cursors.values() if cursor.flow.active]

    @property
    def reading(self) -> list[Cursor]:
        """The active cursors that may go on: none that is held."""
        return [cursor for cursor in self.active if cursor.held_at is None]

    @property
    def at_run_end(self) -> bool:
        """Whether the run has nothing more to read here, for the flows that may go on."""
        return self.run_end is not None and all(cursor.next_offset >= self.run_end for cursor in self.reading)

    @property
    def is_read(self) -> bool:
        """Whether the consumer should read it now."""
        return self.stopped is None and bool(self.reading) and not self.at_run_end

    def lowest(self) -> int:
        """The offset that some flow has yet to read."""
        return min(cursor.next_offset for cursor in self.reading)

    def step_over(self, offset: int) -> None:
        """Everything before `offset` has been read, or is no record."""
        self.read = max(self.read, offset)
        for cursor in self.reading:
            cursor.next_offset = max(cursor.next_offset, offset)

    def position(self, cursor: Cursor) -> Position:
        """A cursor as the store keeps it."""
        model, role = cursor.flow.key
        return Position(
            model=model,
            role=role,
            cluster_id=self.cluster_id,
            topic=self.at.topic,
            topic_id=self.topic_id,
            partition=self.at.partition,
            next_offset=cursor.next_offset,
            max_event_time=cursor.max_event_time,
            last_record_time=cursor.last_record_time,
        )

    def record(self) -> Partition:
        """The partition as the store keeps it."""
        return Partition(
            cluster_id=self.cluster_id,
            topic=self.at.topic,
            topic_id=self.topic_id,
            partition=self.at.partition,
            last_record_time=self.last_record_time,
            max_event_time=self.max_event_time,
            end_offset=self.end_offset,
            attested_at=self.attested_at,
            attested_checkpoint=self.attested_checkpoint,
            run_end_offset=self.run_end,
        )
