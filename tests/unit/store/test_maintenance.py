"""Copies, retention, dead letters, books and the sentences of `status`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection

from daemon.store import (
    Store,
    StoreError,
    StoreMissing,
    StoreUnavailable,
    books,
    dead_letters,
    evaluations,
    maintenance,
    outbox,
    panes,
    status,
)
from daemon.store import names as shared_names
from daemon.store.dead_letters import DeadLetter
from daemon.store.evaluations import Evaluation, Judged
from daemon.store.maintenance import Keep
from daemon.store.outbox import Outgoing
from daemon.store.watermarks import advance_watermark
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import DAY, HOUR


def test_a_copy_beside_a_running_writer_is_one_state(path: Path, store: Store, tmp_path: Path) -> None:
    with store.write() as conn:
        status.set_note(conn, "a", "committed", 1)
        maintenance.backup(path, tmp_path / "copy.db")
        status.set_note(conn, "b", "later", 1)

    with Store.open(tmp_path / "copy.db", writer=True) as copy, copy.read() as conn:
        assert maintenance.integrity(conn) == []


def test_a_copy_has_what_was_committed_and_nothing_else(path: Path, store: Store, tmp_path: Path) -> None:
    with store.write() as conn:
        status.set_note(conn, "a", "committed", 1)
    maintenance.backup(path, tmp_path / "copy.db")
    with store.write() as conn:
        status.set_note(conn, "b", "later", 1)

    with Store.open(tmp_path / "copy.db", writer=False) as copy, copy.read() as conn:
        assert [note.key for note in status.load_notes(conn)] == ["a"]


def test_a_copy_replaces_nothing_and_needs_something(path: Path, store: Store, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("another copy")
    with pytest.raises(StoreError, match="never replaces"):
        maintenance.backup(path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "another copy"
    with pytest.raises(StoreMissing):
        maintenance.backup(tmp_path / "nothing.db", tmp_path / "new.db")
    assert store


def test_a_copy_that_cannot_be_made_leaves_nothing(path: Path, store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="could not be made"):
        maintenance.backup(path, tmp_path / "no such folder" / "copy.db")
    (tmp_path / "letter.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreUnavailable, match="could not be made"):
        maintenance.backup(tmp_path / "letter.db", tmp_path / "copy.db")
    assert list(tmp_path.glob("copy*")) == []
    assert store


def test_a_broken_reference_is_found(path: Path, store: Store) -> None:
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO activations VALUES ('m', '', 0, 'no such spec')")
    connection.close()

    with Store.open(path, writer=False) as reader, reader.read() as conn:
        assert maintenance.integrity(conn) == ["foreign key of activations row None"]


def test_what_is_old_by_the_models_own_time_goes(conn: Connection) -> None:
    # Given two models of the same panes, one of which has come a day further
    for model in ("ahead", "behind"):
        for pane in range(48):
            panes.add_partial(
                conn,
                model,
                "7",
                pane * HOUR,
                "s",
                rows=1,
                profile=b"p",
                sample=b"s",
                kth_hash=None,
                min_event_time=0,
                max_event_time=0,
                now=0,
            )
            evaluation = Evaluation(
                model, "drift", pane * HOUR, (pane + 1) * HOUR, 0, HOUR, 1, None, 0, 0, 0, None, "c", "0"
            )
            evaluations.record(conn, evaluation, [Judged(Finding(Signal.QUALITY, "mae", Verdict.OK))])
    advance_watermark(conn, "ahead", 2 * DAY)
    advance_watermark(conn, "behind", DAY)

    # When profiles are kept for a day, samples for half of one, results for a day and a half
    keep = Keep(results=36 * HOUR, profiles=DAY, samples=DAY // 2)
    gone = maintenance.retention(conn, keep, now=10**18)

    # Then only what is older than that by the model's own watermark has gone
    assert {name: gone[name] for name in ("results", "profiles", "samples")} == {
        "results": 11,
        "profiles": 24,
        "samples": 24,
    }
    left = panes.load_partials(conn, "ahead", 0, 10**18)
    assert [part.sample for part in left] == [None] * 12 + [b"s"] * 12
    assert len(panes.pane_rows(conn, "ahead")) == 24
    assert len(panes.pane_rows(conn, "behind")) == 48
    assert len(list(evaluations.results(conn))) == 96 - 11
    assert maintenance.retention(conn, keep, now=10**18)["profiles"] == 0


def test_what_was_told_goes_by_the_wall_clock_and_what_waits_stays(conn: Connection) -> None:
    for number in range(2):
        outbox.put(conn, Outgoing("slack", f"inc-{number}", "root", None, 1, str(number)), 0)
    claimed = outbox.claim(conn, 0, 60)
    assert claimed is not None
    outbox.delivered(conn, claimed, 5, [outbox.Receipt("slack", "inc-0", "root", "C", "1", 1, 5)])

    keep = Keep(results=DAY, profiles=DAY, samples=DAY)
    assert maintenance.retention(conn, keep, now=DAY + 5)["outbox"] == 0
    gone = maintenance.retention(conn, keep, now=DAY + 6)
    assert (gone["outbox"], gone["receipts"]) == (1, 1)
    assert [row.state for row in outbox.rows(conn)] == ["waiting"]


def test_dead_letters_newest_first_within_a_limit(conn: Connection) -> None:
    for number in range(5):
        letter = DeadLetter("m", "t", 0, number, number + 1, "not_json", "line 1", b"x" * 5000, 9)
        dead_letters.add(conn, [letter], limit=3)
    dead_letters.add(conn, [DeadLetter(None, "other", 1, 0, 9, "corrupt_batch", "CRC", None, 9)], limit=3)
    dead_letters.add(conn, [])

    kept = dead_letters.load(conn)
    assert [(letter.topic, letter.offset) for letter in kept] == [("other", 0), ("t", 4), ("t", 3)]
    assert (len(kept[1].payload or b""), kept[1].payload_bytes) == (4096, 5000)
    assert dead_letters.show(conn, kept[0].id) == kept[0]
    assert dead_letters.show(conn, 999) is None
    assert [letter.offset for letter in dead_letters.load(conn, model="m", limit=1)] == [4]
    assert [letter.offset for letter in dead_letters.load(conn, topic="t", before=kept[1].id)] == [3]
    assert dead_letters.count(conn) == 3
    assert books.books(conn)["m"]["dead_letters_cut"] == 3


def test_books_that_do_not_add_up_are_named(conn: Connection) -> None:
    books.add(conn, "m", {"messages": 10, "decoded": 7, "dead_lettered": 1, "ignored": 2})
    books.add(conn, "m", {"predictions": 7, "profiled": 6, "late_dropped": 1})
    assert books.check(conn) == []
    assert books.books(conn)["m"]["messages"] == 10

    books.add(conn, "m", {"messages": 1, "waiting": 3})
    assert books.check(conn) == [
        "m: messages 11 != decoded 7 + dead_lettered 1 + ignored 2 = 10",
        "m: labels 0 != waiting 3 + joined 0 + superseded 0 + thinned 0 + expired 0 = 3",
        "m: waiting 3 != 0 rows in the store",
    ]
    books.add(conn, "n", {"expired": -1, "labels": -1})
    assert [sentence for sentence in books.check(conn) if sentence.startswith("n:")] == [
        "n: labels is -1",
        "n: expired is -1",
    ]
    with pytest.raises(ValueError, match="No such counter: lost"):
        books.add(conn, "m", {"lost": 1})


def test_states_and_notes_remember_since_when(conn: Connection) -> None:
    for now in (1, 2):
        status.set_model_state(conn, "m", "waiting", "The reference cannot be read.", now)
        status.set_note(conn, "slack", "Slack refuses the token.", now)
    assert status.model_states_by_name(conn)["m"].since == 1
    assert status.load_notes(conn)[0].since == 1

    status.set_model_state(conn, "m", "running", "", 3)
    assert status.model_states_by_name(conn)["m"] == status.ModelState("m", "running", "", 3)
    status.clear_note(conn, "slack")
    assert status.load_notes(conn) == []


def test_shared_strings_have_one_number_each(conn: Connection) -> None:
    many = {f"version {number}" for number in range(1200)}
    numbers = shared_names.intern(conn, many)

    assert len(set(numbers.values())) == 1200
    assert shared_names.intern(conn, {"version 7", "new"})["version 7"] == numbers["version 7"]
    assert shared_names.texts(conn, numbers.values()) == {number: text for text, number in numbers.items()}
    assert shared_names.number(conn, "nobody") is None


def test_the_size_of_a_store_includes_its_log(path: Path, store: Store) -> None:
    assert maintenance.store_bytes(path) > 100_000
    assert store
