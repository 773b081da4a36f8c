"""How far each model has read each partition, and what is known of each partition whatever the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select, update

from daemon.store import dialect
from daemon.store.errors import FenceLost
from daemon.store.schema import meta, partitions, positions
from detectors.instants import Micros


@dataclass(frozen=True, slots=True)
class Position:
    """One model's place in one partition; `role` is "predictions" or "labels".

    `next_offset` is the last row read + 1, whether or not that row was this model's. `max_event_time` is the highest
    event time of this model's rows there: minus `watermark_delay` it is the data watermark. `last_record_time` is the
    Kafka timestamp of this model's last row. Both are None until the model has a row there.
    """

    model: str
    role: str
    cluster_id: str
    topic: str
    topic_id: str
    partition: int
    next_offset: int
    max_event_time: Micros | None = None
    last_record_time: Micros | None = None


@dataclass(frozen=True, slots=True)
class Partition:
    """What is known of a partition whatever the model.

    `last_record_time` is the Kafka timestamp of the last record read and `max_event_time` the highest event time of
    any model. `end_offset` is what `end_offsets()` said at wall instant `attested_at`, in checkpoint number
    `attested_checkpoint`. `run_end_offset` is where `run --until-end` stops.
    """

    cluster_id: str
    topic: str
    topic_id: str
    partition: int
    last_record_time: Micros | None = None
    max_event_time: Micros | None = None
    end_offset: int | None = None
    attested_at: Micros | None = None
    attested_checkpoint: int | None = None
    run_end_offset: int | None = None


_KEY = (positions.c.model, positions.c.role, positions.c.cluster_id, positions.c.topic, positions.c.topic_id)


_KEY_NAMES = ("model", "role", "cluster_id", "topic", "topic_id", "partition")
_MOVE = (
    update(positions)
    .where(*(positions.c[name] == bindparam(f"new_{name}") for name in _KEY_NAMES))
    .where(positions.c.next_offset == bindparam("expected"))
    .values({name: bindparam(f"new_{name}") for name in ("next_offset", "max_event_time", "last_record_time")})
)


def load_positions(conn: Connection, model: str | None = None) -> list[Position]:
    """Every position, or those of one model, in the order of their keys."""
    query = select(positions).order_by(*_KEY, positions.c.partition)
    if model is not None:
        query = query.where(positions.c.model == model)
    return [Position(*row) for row in conn.execute(query)]


def furthest_offsets(conn: Connection, topics: Sequence[str]) -> dict[tuple[str, str, str, int], int]:
    """The highest next offset of any model, by (cluster id, topic, topic id, partition)."""
    place = (positions.c.cluster_id, positions.c.topic, positions.c.topic_id, positions.c.partition)
    query = select(*place, func.max(positions.c.next_offset)).where(positions.c.topic.in_(topics)).group_by(*place)
    return {(cluster, topic, topic_id, number): last for cluster, topic, topic_id, number, last in conn.execute(query)}


def advance(conn: Connection, position: Position, expected_next_offset: int | None) -> None:
    """Move a position on, if the stored next offset is the expected one; None expects that there is no position yet.

    Raises:
        FenceLost: it is not; the caller's transaction must be given up as a whole.
    """
    advance_all(conn, [(position, expected_next_offset)])


def advance_all(conn: Connection, moves: Iterable[tuple[Position, int | None]]) -> None:
    """Move positions on, in the order of their keys: two checkpoints can then never wait for each other in a circle.

    Raises:
        FenceLost: a stored next offset is not the expected one.
    """
    for position, expected in sorted(moves, key=lambda move: _sort_key(move[0])):
        values = asdict(position)
        if expected is None:
            row = tuple(values.values())
            moved = dialect.insert_many(conn, positions, tuple(values), [row], conflict="ON CONFLICT DO NOTHING")
        else:
            parameters = {f"new_{name}": value for name, value in values.items()} | {"expected": expected}
            moved = conn.execute(_MOVE, parameters).rowcount
        if moved != 1:
            stored = conn.execute(select(positions.c.next_offset).where(*_is(position))).scalar()
            raise FenceLost(
                f"{position.model} {position.role}: the next offset of {position.topic}[{position.partition}] "
                f"is {stored}, not {expected}."
            )


def _sort_key(position: Position) -> tuple[str, str, str, str, str, int]:
    return (
        position.model,
        position.role,
        position.cluster_id,
        position.topic,
        position.topic_id,
        position.partition,
    )


def _is(position: Position) -> list[ColumnElement[bool]]:
    return [positions.c[name] == getattr(position, name) for name in _KEY_NAMES]


def load_partitions(conn: Connection, topics: Sequence[str] | None = None) -> list[Partition]:
    """Every known partition, or those of some topics, in the order of their keys."""
    query = select(partitions).order_by(
        partitions.c.cluster_id, partitions.c.topic, partitions.c.topic_id, partitions.c.partition
    )
    if topics is not None:
        query = query.where(partitions.c.topic.in_(topics))
    return [Partition(*row) for row in conn.execute(query)]


def save_partitions(conn: Connection, known: Iterable[Partition]) -> None:
    """Put what is known of partitions, as a whole: the caller keeps the highest event times."""
    for partition in known:
        dialect.put(conn, partitions, asdict(partition))


def reset_topic(conn: Connection, cluster_id: str, topic: str, topic_id: str) -> int:
    """Forget every other topic that had this name; returns how many positions went.

    For a topic that was deleted and created again: the new one starts at offset 0 with no watermark.
    """
    gone = 0
    for table in (partitions, positions):
        others = (table.c.cluster_id == cluster_id, table.c.topic == topic, table.c.topic_id != topic_id)
        gone = conn.execute(delete(table).where(*others)).rowcount
    return gone


def next_checkpoint(conn: Connection) -> int:
    """Number this checkpoint: one more than the last. Attestations are judged by how many checkpoints old they are."""
    number = checkpoint(conn) + 1
    dialect.put(conn, meta, {"key": "checkpoint", "value": number})
    return number


def checkpoint(conn: Connection) -> int:
    """The number of the last checkpoint, 0 before the first."""
    return conn.execute(select(meta.c.value).where(meta.c.key == "checkpoint")).scalar() or 0
