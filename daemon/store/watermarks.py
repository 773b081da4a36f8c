"""The effective watermark of a model: up to which event time its committed rows are complete."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, func, select

from daemon.store import dialect
from daemon.store.positions import (
    Partition,
    Position,
    checkpoint,
    furthest_offsets,
    load_partitions,
    load_positions,
)
from daemon.store.schema import progress
from detectors.instants import Micros

Clock = Literal["wall", "event"]

ATTESTED_WITHIN = 3
"""How many checkpoints old an attestation may be."""

_COLUMN = {"predictions": "watermark", "labels": "label_watermark"}


@dataclass(frozen=True, slots=True)
class Known:
    """A partition and the model's place in it; a position of None: the model has not been there yet.

    `furthest` is the highest next offset that any model has there: what the partition says about times goes up to it.
    """

    partition: Partition
    position: Position | None
    furthest: int = 0

    @property
    def is_behind(self) -> bool:
        """Whether others have read rows that the model has yet to read: it waits for its reference, or is new."""
        return self.position is not None and self.position.next_offset < self.furthest


def effective_watermark(
    conn: Connection,
    model: str,
    *,
    topics: Collection[str],
    clock: Clock,
    watermark_delay: Micros,
    role: str = "predictions",
) -> Micros | None:
    """The minimum over every partition of the model's topics, never lower than it was; None while one is unknown.

    `role` "labels" asks the same of the label topics: up to which time the labels have come.
    """
    known = known_partitions(conn, model, role, topics)
    now = None if known is None else combine(known, clock, watermark_delay, checkpoint(conn))
    before: Micros | None = conn.execute(select(progress.c[_COLUMN[role]]).where(progress.c.model == model)).scalar()
    if now is None or before is None:
        return before if now is None else now
    return max(now, before)


def advance_watermark(conn: Connection, model: str, watermark: Micros, role: str = "predictions") -> None:
    """Remember how far the effective watermark has come, so that a partition that wakes up cannot turn it back."""
    name = _COLUMN[role]
    column = progress.c[name]
    statement = dialect.insert(conn, progress).values({"model": model, name: watermark})
    new = statement.excluded[name]
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["model"], set_={name: new}, where=(func.coalesce(column, new - 1) < new)
        )
    )


def event_now(
    conn: Connection, model: str, *, prediction_topics: Collection[str], label_topics: Collection[str] = ()
) -> Micros | None:
    """What time it is for a model under `clock: event`: the highest event time that every partition has passed.

    Partitions leave the minimum only at the run's end offsets; when all have, it is the end of the data. None while a
    partition has not been read.
    """
    known = known_partitions(conn, model, "predictions", prediction_topics)
    if known is None:
        return None
    if label_topics:
        labels = known_partitions(conn, model, "labels", label_topics)
        if labels is None:
            return None
        known = [*known, *labels]
    times = [(_passed(one), _at_run_end(one)) for one in known]
    reading = [time for time, at_end in times if not at_end]
    if reading:
        return None if None in reading else min(time for time in reading if time is not None)
    return max((time for time, _ in times if time is not None), default=None)


def known_partitions(conn: Connection, model: str, role: str, topics: Collection[str]) -> list[Known] | None:
    """Every partition of the topics with the model's position in it; None while a topic has no partition yet."""
    wanted = sorted(topics)
    known = load_partitions(conn, wanted)
    if {partition.topic for partition in known} != set(wanted):
        return None
    own = {_place(p): p for p in load_positions(conn, model) if p.role == role}
    furthest = furthest_offsets(conn, wanted)
    return [Known(p, own.get(_place(p)), furthest.get(_place(p), 0)) for p in known]


def holding(
    conn: Connection, model: str, *, topics: Collection[str], clock: Clock, delay: Micros, role: str = "predictions"
) -> Known | None:
    """The partition that the effective watermark waits for: the first unknown one, else the one that is furthest back.

    None when it waits for none: no topic is there, or every partition is read to its end.
    """
    known = known_partitions(conn, model, role, topics) or []
    number = checkpoint(conn)
    waiting = [one for one in known if not _has_left(one, clock, number)]

    def mark(one: Known) -> tuple[bool, Micros]:
        at = None if one.position is None else _watermark(one, clock, delay)
        return (at is not None, at or 0)

    return min(waiting, key=mark, default=None)


def _has_left(one: Known, clock: Clock, number: int) -> bool:
    """Whether a partition does not hold the watermark back any more."""
    return one.position is not None and (_at_run_end(one) or (clock == "wall" and _idle(one, number)))


def _place(one: Partition | Position) -> tuple[str, str, str, int]:
    return one.cluster_id, one.topic, one.topic_id, one.partition


def _passed(one: Known) -> Micros | None:
    """The highest event time there that the model has passed, whosever row it was."""
    return one.position.max_event_time if one.position is not None and one.is_behind else one.partition.max_event_time


def combine(known: Sequence[Known], clock: Clock, delay: Micros, checkpoint: int) -> Micros | None:
    """The effective watermark from what is known of each partition, or None while one is unknown.

    A partition leaves the minimum at the run's end offset, if the run has one; when all have, the data is complete and
    the watermark is its end, with no delay. Under `wall` an idle one leaves it too, when its owner has attested within
    ATTESTED_WITHIN checkpoints that it is read to its end; when all have, the watermark is the highest of theirs, as in
    Flink.
    """
    active: list[Micros] = []
    left: list[Micros] = []
    for one in known:
        if one.position is None:
            return None
        mark = _watermark(one, clock, delay)
        if _at_run_end(one):
            if one.partition.max_event_time is not None:
                left.append(one.partition.max_event_time)
        elif clock == "wall" and _idle(one, checkpoint):
            if mark is not None:
                left.append(mark)
        elif mark is None:
            return None
        else:
            active.append(mark)
    return min(active) if active else max(left, default=None)


def _watermark(one: Known, clock: Clock, delay: Micros) -> Micros | None:
    """The partition's own watermark for the model; a quiet model's goes by what others write there.

    A model that has yet to read what others have is not quiet: its own rows may be among it.
    """
    assert one.position is not None
    own = one.position.max_event_time
    if clock == "event":
        read, own_read = one.partition.max_event_time, own
    else:
        read, own_read = one.partition.last_record_time, one.position.last_record_time
    quiet = read is not None and not one.is_behind and (own_read is None or read - own_read >= delay)
    marks = [own, read if quiet else None]
    return max((mark - delay for mark in marks if mark is not None), default=None)


def _idle(one: Known, checkpoint: int) -> bool:
    partition, position = one.partition, one.position
    return (
        position is not None
        and partition.end_offset is not None
        and partition.attested_checkpoint is not None
        and partition.attested_checkpoint >= checkpoint - ATTESTED_WITHIN
        and position.next_offset >= partition.end_offset
    )


def _at_run_end(one: Known) -> bool:
    end = one.partition.run_end_offset
    return end is not None and one.position is not None and one.position.next_offset >= end
