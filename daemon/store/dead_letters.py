"""Messages that could not be counted: where they are, why, and how they begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from daemon.store import books
from daemon.store.schema import dead_letters
from detectors.instants import Micros

PAYLOAD_BYTES = 4096
LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message, or the offsets [offset, offset_end) of a broken batch, with the reason and the details in words.

    `payload` is cut to PAYLOAD_BYTES when it is kept; `payload_bytes` is its whole size.
    """

    model: str | None
    topic: str
    partition: int
    offset: int
    offset_end: int
    reason: str
    detail: str
    payload: bytes | None
    at: Micros
    payload_bytes: int = 0
    id: int = 0


def add(conn: Connection, letters: Sequence[DeadLetter], *, limit: int = LIMIT) -> None:
    """Keep dead letters; beyond `limit` the oldest go, and are counted as `dead_letters_cut`."""
    if not letters:
        return
    rows = [
        {
            "model": letter.model,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "offset_end": letter.offset_end,
            "reason": letter.reason,
            "detail": letter.detail,
            "payload": None if letter.payload is None else letter.payload[:PAYLOAD_BYTES],
            "payload_bytes": letter.payload_bytes or len(letter.payload or b""),
            "at": letter.at,
        }
        for letter in letters
    ]
    conn.execute(insert(dead_letters), rows)
    last_that_goes = conn.execute(
        select(dead_letters.c.id).order_by(dead_letters.c.id.desc()).offset(limit).limit(1)
    ).scalar()
    if last_that_goes is not None:
        old = dead_letters.c.id <= last_that_goes
        cut = conn.execute(select(dead_letters.c.model, func.count()).where(old).group_by(dead_letters.c.model)).all()
        conn.execute(delete(dead_letters).where(old))
        for model, count in cut:
            books.add(conn, model or "", {"dead_letters_cut": count})


_FIELDS = [dead_letters.c[name] for name in DeadLetter.__dataclass_fields__]


def load(
    conn: Connection, *, model: str | None = None, topic: str | None = None, limit: int = 100, before: int | None = None
) -> list[DeadLetter]:
    """The newest dead letters first; `before` is the id of the last one seen, for the next page."""
    query = select(*_FIELDS).order_by(dead_letters.c.id.desc()).limit(limit)
    if model is not None:
        query = query.where(dead_letters.c.model == model)
    if topic is not None:
        query = query.where(dead_letters.c.topic == topic)
    if before is not None:
        query = query.where(dead_letters.c.id < before)
    return [DeadLetter(*row) for row in conn.execute(query)]


def show(conn: Connection, number: int) -> DeadLetter | None:
    """One dead letter by its id, or None."""
    row = conn.execute(select(*_FIELDS).where(dead_letters.c.id == number)).one_or_none()
    return None if row is None else DeadLetter(*row)


def count(conn: Connection) -> int:
    """How many are kept."""
    return conn.execute(select(func.count()).select_from(dead_letters)).scalar_one()
