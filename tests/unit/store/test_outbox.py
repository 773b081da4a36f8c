"""Lanes, leases and receipts; the incidents that fill them."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from daemon.store import LeaseLost, incidents, outbox
from daemon.store.incidents import Change, StoredIncident
from daemon.store.outbox import Claimed, Outgoing, Receipt

LEASE = 60


def put(conn: Connection, receiver: str, subject: str, revision: int = 1, *, now: int = 0) -> None:
    key = f"{receiver}/{subject}/{revision}"
    outbox.put(conn, Outgoing(receiver, subject, "root", subject, revision, key), now)


def claim(conn: Connection, now: int, **more: object) -> Claimed:
    claimed = outbox.claim(conn, now, LEASE, **more)  # type: ignore[arg-type]
    assert claimed is not None
    return claimed


def test_a_lane_is_delivered_in_order_one_at_a_time(conn: Connection) -> None:
    assert outbox.claim(conn, 0, LEASE) is None
    put(conn, "slack", "inc-1", 1)
    put(conn, "slack", "inc-1", 2)
    first = claim(conn, 10)

    assert (first.revision, first.attempts, first.lease_until, first.incident) == (1, 1, 70, "inc-1")
    assert outbox.claim(conn, 11, LEASE) is None, "the second waits for the first"
    outbox.delivered(conn, first, 12)
    assert claim(conn, 13).revision == 2


def test_lanes_do_not_hold_each_other_up(conn: Connection) -> None:
    put(conn, "slack", "inc-1")
    put(conn, "slack", "inc-2")
    put(conn, "webhook", "inc-1")

    assert [(c.receiver, c.subject) for c in (claim(conn, 0), claim(conn, 0), claim(conn, 0))] == [
        ("slack", "inc-1"),
        ("slack", "inc-2"),
        ("webhook", "inc-1"),
    ]


def test_a_receiver_that_must_wait_is_left_out(conn: Connection) -> None:
    put(conn, "slack", "inc-1")
    put(conn, "webhook", "inc-1")

    assert claim(conn, 0, exclude=["slack"]).receiver == "webhook"
    assert outbox.claim(conn, 0, LEASE, exclude=["slack", "webhook"]) is None


def test_a_failed_row_is_tried_again_in_its_place(conn: Connection) -> None:
    put(conn, "slack", "inc-1", 1)
    put(conn, "slack", "inc-1", 2)
    outbox.retry(conn, claim(conn, 0), not_before=30, reason="429, Retry-After 30")

    assert outbox.claim(conn, 29, LEASE) is None
    assert [head.ready_at for head in outbox.heads(conn)] == [30], "the row behind it waits too"
    again = claim(conn, 30)
    assert (again.revision, again.attempts, again.last_error) == (1, 2, "429, Retry-After 30")


def test_a_row_that_can_never_be_sent_lets_its_lane_go_on(conn: Connection) -> None:
    put(conn, "gone", "inc-1", 1)
    put(conn, "gone", "inc-1", 2)
    outbox.give_up(conn, claim(conn, 0), 1, "no such receiver")

    assert claim(conn, 2).revision == 2
    assert [(row.state, row.last_error) for row in outbox.rows(conn)] == [
        ("given_up", "no such receiver"),
        ("waiting", None),
    ]


def test_a_lease_that_ran_out_is_taken_over_and_the_first_sender_is_told(conn: Connection) -> None:
    put(conn, "slack", "inc-1")
    slow = claim(conn, 0)
    assert [head.ready_at for head in outbox.heads(conn)] == [60]
    assert outbox.claim(conn, 59, LEASE) is None
    quick = claim(conn, 60)
    assert (quick.id, quick.attempts) == (slow.id, 2)

    for late in (outbox.delivered, lambda c, row, now: outbox.retry(c, row, now, "?")):
        with pytest.raises(LeaseLost):
            late(conn, slow, 61)
    outbox.delivered(conn, quick, 62)
    with pytest.raises(LeaseLost):
        outbox.delivered(conn, quick, 63)


def test_leases_of_a_process_before_are_freed(conn: Connection) -> None:
    put(conn, "slack", "inc-1")
    claim(conn, 0)

    assert outbox.release_leases(conn) == 1
    assert claim(conn, 1).attempts == 2


def test_the_same_key_twice_is_one_row(conn: Connection) -> None:
    put(conn, "slack", "inc-1")
    put(conn, "slack", "inc-1")

    assert len(outbox.rows(conn, state="waiting", subject="inc-1")) == 1


def test_receipts_are_kept_by_part(conn: Connection) -> None:
    put(conn, "slack", "inc-1")
    root = Receipt("slack", "inc-1", "root", "C1", "1700.1", 1, 5)
    outbox.delivered(conn, claim(conn, 0), 5, [root])
    timeline = Receipt("slack", "inc-1", "timeline", "C1", "1700.2", 1, 6)
    outbox.save_receipt(conn, timeline)
    anew = Receipt("slack", "inc-1", "root", "C1", "1800.1", 2, 9)
    outbox.save_receipt(conn, anew)

    assert outbox.receipts(conn, "slack", "inc-1") == {"root": anew, "timeline": timeline}
    assert outbox.receipts(conn, "slack", "inc-2") == {}


def test_how_long_the_oldest_has_waited(conn: Connection) -> None:
    assert outbox.oldest_age(conn, 100) == 0
    assert outbox.heads(conn) == []
    put(conn, "slack", "inc-1", now=40)
    put(conn, "webhook", "inc-1", now=70)

    assert outbox.oldest_age(conn, 100) == 60
    assert outbox.oldest_age(conn, 100, "webhook") == 30
    outbox.delivered(conn, claim(conn, 100), 100)
    assert outbox.oldest_age(conn, 100) == 30


def incident(number: str, opened: int, resolved: int | None = None) -> StoredIncident:
    return StoredIncident(
        number, "m", "model", "resolved" if resolved else "firing", "notify", opened, opened, resolved, 1, b"{}"
    )


def test_incidents_open_and_resolved(conn: Connection) -> None:
    for one in (incident("inc-2", 20), incident("inc-1", 10), incident("inc-3", 5, resolved=15)):
        incidents.save_incident(conn, one)
    incidents.save_incident(conn, incident("inc-2", 20, resolved=30))

    assert [one.id for one in incidents.open_incidents(conn)] == ["inc-1"]
    assert [one.id for one in incidents.open_incidents(conn, "other")] == []
    assert [one.id for one in incidents.all_incidents(conn, model="m", since=16)] == ["inc-1", "inc-2"]
    assert incidents.incident(conn, "inc-3") == incident("inc-3", 5, resolved=15)
    assert incidents.incident(conn, "inc-9") is None


def test_history_and_board(conn: Connection) -> None:
    incidents.save_incident(conn, incident("inc-1", 10))
    changes = [Change("inc-1", 1, 10, "opened", b"{}"), Change("inc-1", 2, 20, "worse", b'{"a": 1}')]
    for change in changes:
        incidents.add_change(conn, change)
    assert incidents.history(conn, "inc-1") == changes
    assert incidents.history(conn, "inc-2") == []

    assert incidents.load_board(conn, "m") is None
    for body in (b"one", b"two"):
        incidents.save_board(conn, "m", body, 1)
    assert incidents.load_board(conn, "m") == b"two"
