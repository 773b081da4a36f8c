"""The durable queue that everything outgoing goes through, and the receipts of what has arrived.

A lane is (receiver, subject). Only its lowest undelivered row can be claimed, so a subject's messages arrive in order
and one receiver's trouble holds up no other.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Subquery, func, select, update

from daemon.store import dialect
from daemon.store.errors import LeaseLost
from daemon.store.schema import outbox
from daemon.store.schema import receipts as receipt_table
from detectors.instants import Micros

WAITING, DELIVERED, GIVEN_UP = "waiting", "delivered", "given_up"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One thing to be told: it names a revision and is rendered only when it is claimed.

    `kind` is "root", "timeline", "webhook" or "report"; the same `idempotency_key` twice is one row.
    """

    receiver: str
    subject: str
    kind: str
    incident: str | None
    revision: int
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that this sender alone may send until `lease_until`.

    `attempts` counts this one too: above 1 an earlier send may have arrived although no receipt tells of it.
    """

    id: int
    receiver: str
    subject: str
    kind: str
    incident: str | None
    revision: int
    idempotency_key: str
    created_at: Micros
    attempts: int
    lease_until: Micros
    lease_token: str
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a part of a subject ("root", "timeline") was posted; `ts` is Slack's name of a message."""

    receiver: str
    subject: str
    part: str
    channel: str
    ts: str
    revision: int
    delivered_at: Micros


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row as people see it: `state` is "waiting", "delivered" or "given_up"."""

    id: int
    receiver: str
    subject: str
    kind: str
    incident: str | None
    revision: int
    created_at: Micros
    state: str
    attempts: int
    not_before: Micros
    last_error: str | None
    done_at: Micros | None


@dataclass(frozen=True, slots=True)
class Head:
    """The lowest undelivered row of a lane, and the instant from which it may be claimed."""

    id: int
    receiver: str
    subject: str
    ready_at: Micros


def put(conn: Connection, outgoing: Outgoing, now: Micros) -> None:
    """Queue something, in the transaction of the change that it tells of."""
    row = asdict(outgoing) | {"created_at": now, "state": WAITING, "attempts": 0, "not_before": now}
    conn.execute(dialect.insert(conn, outbox).values(row).on_conflict_do_nothing(index_elements=["idempotency_key"]))


def _lowest_of_each_lane() -> Subquery:
    return (
        select(func.min(outbox.c.id).label("id"))
        .where(outbox.c.state == WAITING)
        .group_by(outbox.c.receiver, outbox.c.subject)
        .subquery()
    )


def claim(conn: Connection, now: Micros, lease: Micros, *, exclude: Collection[str] = ()) -> Claimed | None:
    """The oldest row that may be sent now, with a lease on it; None when there is none.

    `exclude` names receivers that must not be sent to yet (a limiter, an outage).
    """
    lowest = _lowest_of_each_lane()
    query = (
        select(outbox.c.id)
        .join(lowest, lowest.c.id == outbox.c.id)
        .where(outbox.c.not_before <= now, func.coalesce(outbox.c.lease_until, now) <= now)
        .order_by(outbox.c.id)
        .limit(1)
    )
    if exclude:
        query = query.where(outbox.c.receiver.not_in(list(exclude)))
    number = conn.execute(query).scalar()
    if number is None:
        return None
    conn.execute(
        update(outbox)
        .where(outbox.c.id == number)
        .values(attempts=outbox.c.attempts + 1, lease_until=now + lease, lease_token=secrets.token_hex(8))
    )
    row = conn.execute(select(*(outbox.c[name] for name in Claimed.__match_args__)).where(outbox.c.id == number)).one()
    return Claimed(*row)


def delivered(conn: Connection, claimed: Claimed, now: Micros, receipts: Sequence[Receipt] = ()) -> None:
    """The row has arrived; its receipts replace older ones of the same parts.

    Raises:
        LeaseLost: another sender has claimed it meanwhile.
    """
    _finish(conn, claimed, {"state": DELIVERED, "done_at": now, "last_error": None})
    for receipt in receipts:
        save_receipt(conn, receipt)


def retry(conn: Connection, claimed: Claimed, not_before: Micros, reason: str) -> None:
    """The row could not be sent, or nobody knows: try again at `not_before`; its lane waits for it.

    Raises:
        LeaseLost: another sender has claimed it meanwhile.
    """
    _finish(conn, claimed, {"not_before": not_before, "last_error": reason})


def hold(conn: Connection, receiver: str, not_before: Micros) -> None:
    """A receiver asked for time: none of its rows goes before `not_before`, also after a restart."""
    conn.execute(
        update(outbox)
        .where(outbox.c.state == WAITING, outbox.c.receiver == receiver, outbox.c.not_before < not_before)
        .values(not_before=not_before)
    )


def give_up(conn: Connection, claimed: Claimed, now: Micros, reason: str) -> None:
    """The row can never be sent (a receiver that is no longer configured): its lane goes on without it.

    Raises:
        LeaseLost: another sender has claimed it meanwhile.
    """
    _finish(conn, claimed, {"state": GIVEN_UP, "done_at": now, "last_error": reason})


def _finish(conn: Connection, claimed: Claimed, values: dict[str, object]) -> None:
    changed = conn.execute(
        update(outbox)
        .where(outbox.c.id == claimed.id, outbox.c.lease_token == claimed.lease_token, outbox.c.state == WAITING)
        .values(lease_until=None, lease_token=None, **values)
    ).rowcount
    if changed != 1:
        raise LeaseLost(f"Outbox row {claimed.id} was claimed by another sender after its lease had run out.")


def release_leases(conn: Connection) -> int:
    """Free every lease: for the one process of an embedded store, whose sender of before is gone for certain."""
    return conn.execute(
        update(outbox).where(outbox.c.lease_token.is_not(None)).values(lease_until=None, lease_token=None)
    ).rowcount


def save_receipt(conn: Connection, receipt: Receipt) -> None:
    """Remember where a part was posted, also when only a look-up found it."""
    dialect.put(conn, receipt_table, asdict(receipt))


def receipts(conn: Connection, receiver: str, subject: str) -> dict[str, Receipt]:
    """The receipts of a lane by part."""
    query = select(*(receipt_table.c[name] for name in Receipt.__match_args__)).where(
        receipt_table.c.receiver == receiver, receipt_table.c.subject == subject
    )
    return {row.part: Receipt(*row) for row in conn.execute(query)}


def heads(conn: Connection) -> list[Head]:
    """Every lane's lowest undelivered row, oldest first: what a sender can choose from."""
    lowest = _lowest_of_each_lane()
    ready_at = func.coalesce(outbox.c.lease_until, outbox.c.not_before)
    query = (
        select(outbox.c.id, outbox.c.receiver, outbox.c.subject, ready_at)
        .join(lowest, lowest.c.id == outbox.c.id)
        .order_by(outbox.c.id)
    )
    return [Head(*row) for row in conn.execute(query)]


def oldest_age(conn: Connection, now: Micros, receiver: str | None = None) -> Micros:
    """How long the oldest undelivered row has waited; 0 when none does."""
    query = select(func.min(outbox.c.created_at)).where(outbox.c.state == WAITING)
    if receiver is not None:
        query = query.where(outbox.c.receiver == receiver)
    oldest = conn.execute(query).scalar()
    return 0 if oldest is None else max(0, now - oldest)


def rows(conn: Connection, *, state: str | None = None, subject: str | None = None) -> list[OutboxRow]:
    """The queue as people see it, oldest first."""
    query = select(*(outbox.c[name] for name in OutboxRow.__match_args__)).order_by(outbox.c.id)
    if state is not None:
        query = query.where(outbox.c.state == state)
    if subject is not None:
        query = query.where(outbox.c.subject == subject)
    return [OutboxRow(*row) for row in conn.execute(query)]
