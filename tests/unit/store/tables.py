"""Empty tables again and again, for many short examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine


@contextmanager
def rolled_back(engine: Engine) -> Iterator[Connection]:
    """The empty tables, and empty again afterwards."""
    with engine.connect() as conn, conn.begin() as transaction:
        yield conn
        transaction.rollback()
