"""What is usual for the rows of a reference, kept beside it: so far, how long they stay away."""

from __future__ import annotations

from sqlalchemy import Connection, select

from daemon.store import dialect
from daemon.store.schema import meta
from detectors.instants import Micros


def set_gap(conn: Connection, reference_hash: str, gap: Micros) -> None:
    """Keep a reference's usual gap between rows."""
    dialect.put(conn, meta, {"key": f"usual_gap:{reference_hash}", "value": gap})


def gap(conn: Connection, reference_hash: str) -> Micros | None:
    """A reference's usual gap between rows; None when it has no event times."""
    return conn.execute(select(meta.c.value).where(meta.c.key == f"usual_gap:{reference_hash}")).scalar()
