"""Specs, and from which pane on each is used."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from daemon.store import dialect
from daemon.store.errors import ActivationTooEarly
from daemon.store.schema import activations, panes, specs
from detectors.instants import Micros


@dataclass(frozen=True, slots=True)
class Activation:
    """From pane `from_pane` on, rows of this version become partials by this spec; version None is every other one."""

    model: str
    version: str | None
    from_pane: Micros
    spec_hash: str


def add_spec(conn: Connection, spec_hash: str, body: bytes, now: Micros) -> None:
    """Keep a spec; one that is there already stays as it is."""
    statement = dialect.insert(conn, specs).values(hash=spec_hash, body=body, created_at=now)
    conn.execute(statement.on_conflict_do_nothing())


def load_spec(conn: Connection, spec_hash: str) -> bytes | None:
    """The spec's bytes, or None."""
    return conn.execute(select(specs.c.body).where(specs.c.hash == spec_hash)).scalar()


def activate(conn: Connection, activation: Activation) -> None:
    """Use a spec from a pane on; doing so twice changes nothing.

    Raises:
        ActivationTooEarly: a pane at or after `from_pane` has been counted with another spec.
    """
    latest = last_counted_pane(conn, activation.model, activation.version, other_than=activation.spec_hash)
    if latest is not None and latest >= activation.from_pane:
        raise ActivationTooEarly(
            f"{activation.model}: a spec cannot begin at pane {activation.from_pane}, "
            f"pane {latest} has been counted with another one."
        )
    dialect.put(
        conn,
        activations,
        {
            "model": activation.model,
            "version": activation.version or "",
            "from_pane": activation.from_pane,
            "spec_hash": activation.spec_hash,
        },
    )


def active(conn: Connection, model: str | None = None) -> list[Activation]:
    """Every activation, or those of one model, oldest pane first."""
    query = select(activations).order_by(activations.c.model, activations.c.from_pane, activations.c.version)
    if model is not None:
        query = query.where(activations.c.model == model)
    return [Activation(row.model, row.version or None, row.from_pane, row.spec_hash) for row in conn.execute(query)]


def last_counted_pane(
    conn: Connection, model: str, version: str | None = None, *, other_than: str | None = None
) -> Micros | None:
    """The start of the last pane that has a row (of one version; under another spec than `other_than`), or None."""
    query = select(panes.c.pane_start).where(panes.c.model == model).order_by(panes.c.pane_start.desc()).limit(1)
    if version is not None:
        query = query.where(panes.c.version == version)
    if other_than is not None:
        query = query.where(panes.c.spec_hash != other_than)
    return conn.execute(query).scalar()
