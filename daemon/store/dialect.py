"""The few statements that databases spell differently, and inserting many rows quickly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table
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
    conn.exec_driver_sql(
        _insert_text(conn.dialect, table, tuple(row), _replacing(table, tuple(row))), tuple(row.values())
    )


def insert_many(
    conn: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], *, conflict: str = ""
) -> int:
    """Insert tuples and return how many rows were inserted or changed.

    `conflict` is an ON CONFLICT clause, which SQLite and PostgreSQL read alike. The tuples go straight to the driver:
    SQLAlchemy's own executemany makes a dictionary of each row, several times the cost of the insert itself.
    """
    if not rows:
        return 0
    return conn.exec_driver_sql(_insert_text(conn.dialect, table, tuple(columns), conflict), list(rows)).rowcount


# Building such a statement anew takes SQLAlchemy half a millisecond, and a checkpoint makes hundreds.
@lru_cache(maxsize=256)
def _insert_text(dialect: Dialect, table: Table, columns: tuple[str, ...], conflict: str) -> str:
    preparer = dialect.identifier_preparer
    names = ", ".join(preparer.quote(name) for name in columns)
    marks = ", ".join([_MARKS[dialect.paramstyle]] * len(columns))
    return f"INSERT INTO {preparer.format_table(table)} ({names}) VALUES ({marks}) {conflict}"


@lru_cache(maxsize=256)
def _replacing(table: Table, columns: tuple[str, ...]) -> str:
    """The conflict clause that puts the new row's columns in the place of the old one's."""
    key = [column.name for column in table.primary_key.columns]
    rest = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in columns if name not in key)
    return f"ON CONFLICT ({', '.join(quoted(name) for name in key)}) DO UPDATE SET {rest}"


def quoted(name: str) -> str:
    """A name as both databases read it, whether or not it is one of their own words."""
    return f'"{name}"'
