"""Offsets that were never read: retention passed them, a batch was broken, a topic was deleted."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, or_, select, update

from daemon.store.schema import gaps as table
from detectors.instants import Micros


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets [from_offset, to_offset) of a partition that a model never saw.

    They may have held event times from `event_time_from` (None: from the beginning) to `event_time_to` (None: not yet
    known, which counts as open).
    """

    model: str
    role: str
    cluster_id: str
    topic: str
    topic_id: str
    partition: int
    from_offset: int
    to_offset: int
    event_time_from: Micros | None
    event_time_to: Micros | None
    reason: str
    at: Micros


_FIELDS = [column for column in table.c if column.name != "id"]


def record_gap(conn: Connection, gap: Gap) -> None:
    """Write a gap down, in the transaction that moves the position over it."""
    conn.execute(insert(table).values(asdict(gap)))


def end_gaps(conn: Connection, model: str, role: str, topic: str, partition: int, event_time_to: Micros) -> int:
    """Say until which event time the open gaps of a partition may reach, once the first row after them is read."""
    return conn.execute(
        update(table)
        .where(
            table.c.model == model,
            table.c.role == role,
            table.c.topic == topic,
            table.c.partition == partition,
            table.c.event_time_to.is_(None),
        )
        .values(event_time_to=event_time_to)
    ).rowcount


def gaps(conn: Connection, model: str, start: Micros | None = None, end: Micros | None = None) -> list[Gap]:
    """The gaps of a model that may touch event times [start, end), oldest first."""
    query = select(*_FIELDS).where(table.c.model == model).order_by(table.c.id)
    if end is not None:
        query = query.where(or_(table.c.event_time_from.is_(None), table.c.event_time_from < end))
    if start is not None:
        query = query.where(or_(table.c.event_time_to.is_(None), table.c.event_time_to >= start))
    return [Gap(*row) for row in conn.execute(query)]
