"""What the incident rules remember: one board a model, the incidents, and what changed when. Bodies are opaque."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select

from daemon.store import dialect
from daemon.store.schema import boards, incident_history, incidents
from detectors.instants import Micros


@dataclass(frozen=True, slots=True)
class StoredIncident:
    """One incident; `summary` is the incidents' own JSON, the other fields are what is asked for."""

    id: str
    model: str
    family: str
    state: str
    severity: str
    opened_at: Micros
    updated_at: Micros
    resolved_at: Micros | None
    revision: int
    summary: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of an incident's history: what changed in which revision, in the incidents' own JSON."""

    incident: str
    revision: int
    at: Micros
    change: str
    body: bytes


def load_board(conn: Connection, model: str) -> bytes | None:
    """The state of every line and open incident of a model, or None before its first evaluation."""
    return conn.execute(select(boards.c.body).where(boards.c.model == model)).scalar()


def save_board(conn: Connection, model: str, body: bytes, now: Micros) -> None:
    """Keep a model's board, in the transaction that records the findings which changed it."""
    dialect.put(conn, boards, {"model": model, "body": body, "updated_at": now})


def save_incident(conn: Connection, incident: StoredIncident) -> None:
    """Keep an incident, or its new state."""
    dialect.put(conn, incidents, asdict(incident))


def incident(conn: Connection, number: str) -> StoredIncident | None:
    """The incident with this id, or None."""
    row = conn.execute(select(incidents).where(incidents.c.id == number)).one_or_none()
    return None if row is None else StoredIncident(*row)


def open_incidents(conn: Connection, model: str | None = None) -> list[StoredIncident]:
    """The incidents that are not resolved, oldest first."""
    query = select(incidents).where(incidents.c.resolved_at.is_(None)).order_by(incidents.c.opened_at, incidents.c.id)
    if model is not None:
        query = query.where(incidents.c.model == model)
    return [StoredIncident(*row) for row in conn.execute(query)]


def all_incidents(conn: Connection, *, model: str | None = None, since: Micros | None = None) -> list[StoredIncident]:
    """Every incident that was open at or after `since`, oldest first."""
    query = select(incidents).order_by(incidents.c.opened_at, incidents.c.id)
    if model is not None:
        query = query.where(incidents.c.model == model)
    if since is not None:
        query = query.where(incidents.c.resolved_at.is_(None) | (incidents.c.resolved_at >= since))
    return [StoredIncident(*row) for row in conn.execute(query)]


def add_change(conn: Connection, change: Change) -> None:
    """Add to an incident's history."""
    conn.execute(insert(incident_history).values(asdict(change)))


def history(conn: Connection, number: str) -> list[Change]:
    """What happened to an incident, oldest first."""
    query = (
        select(*(incident_history.c[name] for name in Change.__match_args__))
        .where(incident_history.c.incident == number)
        .order_by(incident_history.c.id)
    )
    return [Change(*row) for row in conn.execute(query)]
