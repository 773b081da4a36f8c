"""The few statements that databases spell differently, and inserting many rows quickly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

_MARKS = {"qmark": "?", "format": "%s", "pyformat": "%s"}


def insert(conn: Connection, table: Table) -> sqlite.Insert:
    """An insert that knows ON CONFLICT, in the connection's dialect.

    PostgreSQL's has the same methods as SQLite's, so both go by the type of the latter.
    """
    if conn.dialect.name == "postgresql":
        return postgresql.insert(table)  # type: ignore[return-value]
    return sqlite.insert(table)


def put(conn: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or replace what stands under its primary key."""
    key = [column.name for column in table.primary_key.columns]
    statement = insert(conn, table).values(dict(row))
    rest = {name: statement.excluded[name] for name in row if name not in key}
    conn.execute(statement.on_conflict_do_update(index_elements=key, set_=rest))


def insert_many(
    conn: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], *, conflict: str = ""
) -> int:
    """Insert tuples and return how many rows were inserted or changed.

    `conflict` is an ON CONFLICT clause, which SQLite and PostgreSQL read alike. The tuples go straight to the driver:
    SQLAlchemy's own executemany makes a dictionary of each row, several times the cost of the insert itself.
    """
    if not rows:
        return 0
    mark = _MARKS[conn.dialect.paramstyle]
    preparer = conn.dialect.identifier_preparer
    names = ", ".join(preparer.quote(name) for name in columns)
    marks = ", ".join([mark] * len(columns))
    text = f"INSERT INTO {preparer.format_table(table)} ({names}) VALUES ({marks}) {conflict}"
    return conn.exec_driver_sql(text, list(rows)).rowcount
