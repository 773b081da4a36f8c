"""Opening, locking, failing and dying: what the file itself guarantees."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from daemon.store import Store, StoreError, StoreHeld, StoreMissing, StoreUnavailable, status
from daemon.store.sqlite import is_held, lock_file, read_holder


@contextmanager
def other_process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A second Python; it ends with the block, however the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


HOLD = """
import sys
from pathlib import Path
from daemon.store import Store
store = Store.open(Path(sys.argv[1]), writer=True, holder="driftd run --config prod.yaml")
print("open", flush=True)
sys.stdin.read()
"""


def test_a_fresh_store_is_made_and_a_second_start_finds_it(path: Path) -> None:
    with Store.open(path, writer=True) as store, store.write() as conn:
        status.set_note(conn, "slack", "Slack refuses the token.", 1)

    with Store.open(path, writer=True) as store, store.read() as conn:
        assert status.load_notes(conn) == [status.Note("slack", "Slack refuses the token.", 1)]


def test_a_store_in_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    with Store.open(tmp_path / "new" / "folder" / "driftd.db", writer=True) as store, store.read() as conn:
        assert status.load_notes(conn) == []


def test_a_second_writer_is_told_who_the_first_is(path: Path) -> None:
    with other_process(HOLD, path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "open\n"

        with pytest.raises(StoreHeld) as refused:
            Store.open(path, writer=True, holder="driftd run")

        assert f"process {first.pid} (driftd run --config prod.yaml) on {os.uname().nodename} since 2" in str(
            refused.value
        )
        assert str(path) in str(refused.value)
        assert is_held(path)


def test_the_lock_goes_with_its_process_even_by_sigkill(path: Path) -> None:
    with other_process(HOLD, path) as first:
        assert first.stdout is not None
        first.stdout.readline()
        first.send_signal(signal.SIGKILL)
        first.wait()

        assert not is_held(path)
        Store.open(path, writer=True).close()


def test_who_only_looks_whether_there_is_a_writer_keeps_none_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given one who looks, and so shares the lock until the writer has waited for the first time
    with lock_file(path).open("w") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        waited = []

        def wait(seconds: float) -> None:
            waited.append(seconds)
            fcntl.flock(looker, fcntl.LOCK_UN)

        monkeypatch.setattr(time, "sleep", wait)
        # Then the writer comes in
        Store.open(path, writer=True).close()
    assert len(waited) == 1


def test_two_names_of_one_file_share_the_lock(path: Path, store: Store) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)

    with pytest.raises(StoreHeld):
        Store.open(link, writer=True)
    assert store.path == path


def test_a_lock_file_that_cannot_be_read_is_still_a_lock(path: Path, store: Store) -> None:
    path.with_name("driftd.db.lock").write_text("{half a")

    assert read_holder(path) == "another process"
    with pytest.raises(StoreHeld, match="held by another process"):
        Store.open(path, writer=True)
    assert store


def test_closing_gives_the_lock_back_and_closing_twice_is_nothing(path: Path) -> None:
    store = Store.open(path, writer=True)
    store.close()
    store.close()

    Store.open(path, writer=True).close()


def test_a_reader_needs_a_store(path: Path) -> None:
    with pytest.raises(StoreMissing, match="There is no store at"):
        Store.open(path, writer=False)
    assert not path.exists()


READ = """
import sys
from pathlib import Path
from daemon.store import Store, status
with Store.open(Path(sys.argv[1]), writer=False) as store:
    for _ in sys.stdin:
        with store.read() as conn:
            print([note.sentence for note in status.load_notes(conn)], flush=True)
"""


def test_another_process_reads_beside_the_writer_and_sees_only_what_is_committed(path: Path, store: Store) -> None:
    with store.write() as conn:
        status.set_note(conn, "a", "first", 1)
    with other_process(READ, path) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None

        def look() -> str:
            reader.stdin.write("\n")  # type: ignore[union-attr]
            reader.stdin.flush()  # type: ignore[union-attr]
            return reader.stdout.readline().strip()  # type: ignore[union-attr]

        assert look() == "['first']"
        with store.write() as conn:
            status.set_note(conn, "a", "second", 2)
            assert look() == "['first']"
        assert look() == "['second']"


def test_reading_works_when_no_writer_is_there(path: Path) -> None:
    Store.open(path, writer=True).close()

    with Store.open(path, writer=False) as store, store.read() as conn:
        assert status.load_notes(conn) == []


def test_a_reader_cannot_write(path: Path, store: Store) -> None:
    with Store.open(path, writer=False) as reader:
        with pytest.raises(StoreError, match="open for reading only"), reader.write():
            pass
        with pytest.raises(StoreUnavailable, match="cannot be opened or written"), reader.read() as conn:
            status.set_note(conn, "a", "b", 1)
    assert store


def test_one_read_sees_one_state(store: Store) -> None:
    with store.read() as reading:
        assert status.load_notes(reading) == []
        with store.write() as writing:
            status.set_note(writing, "a", "b", 1)

        assert status.load_notes(reading) == []
    with store.read() as reading:
        assert len(status.load_notes(reading)) == 1


def test_an_exception_in_the_block_changes_nothing(store: Store) -> None:
    def fail() -> None:
        with store.write() as conn:
            status.set_note(conn, "a", "b", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    with store.read() as conn:
        assert status.load_notes(conn) == []


def test_a_write_inside_a_write_is_refused_and_not_waited_for(store: Store) -> None:
    with store.write() as conn:
        with pytest.raises(StoreError, match="inside a write block"), store.write():
            pass
        status.set_note(conn, "a", "b", 1)
    with store.write() as conn:
        assert len(status.load_notes(conn)) == 1


def test_writers_of_many_threads_take_turns(store: Store) -> None:
    def add() -> None:
        for _ in range(20):
            with store.write() as conn:
                notes = status.load_notes(conn)
                status.set_note(conn, "count", str(int(notes[0].sentence if notes else 0) + 1), 1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with store.read() as conn:
        assert status.load_notes(conn)[0].sentence == "80"


def test_a_full_disk_changes_nothing_and_goes_on_when_there_is_room(store: Store) -> None:
    # Given a store that may not grow by more than a few pages
    with store.write() as conn:
        status.set_note(conn, "before", "kept", 1)
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages + 4}")

    # When a transaction needs more
    def fill() -> None:
        with store.write() as conn:
            for number in range(100):
                status.set_note(conn, f"note {number}", "x" * 4000, 1)

    with pytest.raises(StoreUnavailable) as failed:
        fill()

    # Then it says so and nothing of it is there
    assert "is full." in failed.value.reason
    assert "Make room" in failed.value.advice
    with store.read() as conn:
        assert [note.key for note in status.load_notes(conn)] == ["before"]

    # And when there is room the same store goes on
    with store.write() as conn:
        conn.exec_driver_sql("PRAGMA max_page_count = 1073741823")
    with store.write() as conn:
        status.set_note(conn, "after", "x" * 400_000, 1)
    with store.read() as conn:
        assert [note.key for note in status.load_notes(conn)] == ["after", "before"]


def test_a_store_locked_by_a_stranger_is_unavailable(path: Path, store: Store) -> None:
    with store.write() as conn:
        conn.exec_driver_sql("PRAGMA busy_timeout = 1")
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreUnavailable, match="is locked by another program"), store.write():
        pass

    stranger.execute("ROLLBACK")
    stranger.close()
    with store.write() as conn:
        status.set_note(conn, "a", "b", 1)


def test_a_mistake_in_a_statement_is_no_unavailable_store(store: Store) -> None:
    with pytest.raises(DBAPIError, match="no such table"), store.write() as conn:
        conn.exec_driver_sql("SELECT * FROM recipes")


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"this is a letter to my aunt" * 200)

    with pytest.raises(StoreUnavailable, match="is damaged"):
        Store.open(path, writer=True)
    assert not is_held(path)


@pytest.mark.parametrize("name", ["file", "full", "locked"])
def test_a_folder_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")

    with pytest.raises(StoreUnavailable, match=r"cannot be used: (Not a directory|File exists)"):
        Store.open(tmp_path / name / "driftd.db", writer=True)


DIE = """
import os, signal, sys
from pathlib import Path
from daemon.store import Store, status
store = Store.open(Path(sys.argv[1]), writer=True)
with store.write() as conn:
    status.set_note(conn, "committed", "x", 1)
with store.write() as conn:
    for number in range(2000):
        status.set_note(conn, f"note {number}", "x" * 4000, 1)
    print("written", flush=True)
    sys.stdin.read()
"""


def test_sigkill_in_the_middle_of_a_transaction_leaves_the_state_before_it(path: Path) -> None:
    with other_process(DIE, path) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait()

        with Store.open(path, writer=True) as store, store.read() as conn:
            assert [note.key for note in status.load_notes(conn)] == ["committed"]
            assert conn.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_the_writer_is_durable_and_checks_foreign_keys(store: Store) -> None:
    with store.write() as conn:
        settings = {
            name: conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
