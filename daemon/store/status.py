"""What `driftd status` says of each model, and the sentences about trouble elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from daemon.store import dialect
from daemon.store.schema import model_states, notes
from detectors.instants import Micros


@dataclass(frozen=True, slots=True)
class ModelState:
    """`state` is "waiting", "running" or "paused"; `reason` is a sentence, empty while all is well."""

    model: str
    state: str
    reason: str
    since: Micros


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence about trouble that is not one model's: "Slack refuses the token: invalid_auth." """

    key: str
    sentence: str
    since: Micros


def set_model_state(conn: Connection, model: str, state: str, reason: str, now: Micros) -> None:
    """Say how a model is; the same again keeps the instant since when."""
    old = conn.execute(select(model_states).where(model_states.c.model == model)).one_or_none()
    if old is None or (old.state, old.reason) != (state, reason):
        dialect.put(conn, model_states, {"model": model, "state": state, "reason": reason, "since": now})


def model_states_by_name(conn: Connection) -> dict[str, ModelState]:
    """How each model is."""
    return {row.model: ModelState(*row) for row in conn.execute(select(model_states).order_by(model_states.c.model))}


def set_note(conn: Connection, key: str, sentence: str, now: Micros) -> None:
    """Keep a sentence under a key such as "deliver.slack"; the same again keeps the instant since when."""
    if conn.execute(select(notes.c.sentence).where(notes.c.key == key)).scalar() != sentence:
        dialect.put(conn, notes, {"key": key, "sentence": sentence, "since": now})


def clear_note(conn: Connection, key: str) -> None:
    """The trouble is over."""
    conn.execute(delete(notes).where(notes.c.key == key))


def load_notes(conn: Connection) -> list[Note]:
    """Every sentence, by key."""
    return [Note(*row) for row in conn.execute(select(notes).order_by(notes.c.key))]
