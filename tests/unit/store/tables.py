"""Empty tables again and again, for many short examples, and what stands in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter

from sqlalchemy import Connection, Engine

from daemon.store import positions
from daemon.store.positions import Position


@contextmanager
def rolled_back(engine: Engine) -> Iterator[Connection]:
    """The empty tables, and empty again afterwards."""
    with engine.connect() as conn, conn.begin() as transaction:
        yield conn
        transaction.rollback()


def put_position(conn: Connection, position: Position) -> None:
    """Moves a position there from wherever it stands."""
    place = attrgetter("role", "cluster_id", "topic", "topic_id", "partition")
    stored = {place(one): one.next_offset for one in positions.load_positions(conn, position.model)}
    positions.advance(conn, position, stored.get(place(position)))
