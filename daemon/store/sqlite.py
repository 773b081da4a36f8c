"""The embedded store's own ways: how a file is opened, locked, copied and what its errors mean."""

from __future__ import annotations

import fcntl
import os
import socket
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from daemon.store import names
from daemon.store.errors import StoreHeld, StoreMissing, StoreUnavailable
from detectors.instants import Micros

BUSY_TIMEOUT_MS = 5_000
PAGE_CACHE_KIB = 32_768

_LOOKS = 100
_LOOK_SECONDS = 0.01


class Holder(msgspec.Struct, frozen=True):
    """Who holds the writer's lock, as the lock file tells it."""

    pid: int
    command: str
    host: str
    since: str
    trouble: str = ""
    trouble_since: Micros = 0

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command}) on {self.host} since {self.since}"


class WriterLock:
    """A `flock` on a file beside the store; the kernel drops it when the process ends, however it ends."""

    def __init__(self, path: Path, holder: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(lock_file(path), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise unavailable(error, path) from error
        if not _take(self._fd):
            os.close(self._fd)
            raise StoreHeld(str(path), read_holder(path))
        self._me = Holder(
            pid=os.getpid(),
            command=holder or " ".join(sys.argv)[:200] or "python",
            host=socket.gethostname(),
            since=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        self._write()

    def tell(self, trouble: str, now: Micros) -> None:
        """Let the lock file say what is in trouble, a short sentence, or nothing any more.

        It is the one place that can still be written when the store cannot: its text takes the room of the one before.
        """
        if trouble != self._me.trouble:
            self._me = msgspec.structs.replace(self._me, trouble=trouble, trouble_since=now)
            self._write()

    def _write(self) -> None:
        text = msgspec.json.encode(self._me) + b"\n"
        try:
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))
        except OSError:
            pass  # A full disk: the lock holds all the same, only its text is missing.

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two processes lock two files of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _take(fd: int) -> bool:
    """Lock for writing; False when another process has done so."""
    for _ in range(_LOOKS):
        if _locks(fd, fcntl.LOCK_EX):
            return True
        if not _locks(fd, fcntl.LOCK_SH):
            return False
        # Somebody only looks, as `is_held` does, and is soon gone: a daemon must not be sent away for that.
        fcntl.flock(fd, fcntl.LOCK_UN)
        time.sleep(_LOOK_SECONDS)
    return False


def _locks(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def lock_file(path: Path) -> Path:
    """The file beside the store that its writer holds; two names of one store have one."""
    path = path.resolve()
    return path.with_name(path.name + ".lock")


def read_holder(path: Path) -> str:
    """What the lock file says about its holder, in words."""
    holder = _holder(path)
    return "another process" if holder is None else str(holder)


def told(path: Path) -> tuple[str, Micros] | None:
    """What the store's writer says is in trouble, and since when; None while all is well or nobody writes."""
    holder = _holder(path) if is_held(path) else None
    return (holder.trouble, holder.trouble_since) if holder is not None and holder.trouble else None


def _holder(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(lock_file(path).read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None


def is_held(path: Path) -> bool:
    """Whether some process is the store's writer now."""
    try:
        fd = os.open(lock_file(path), os.O_RDWR)
    except OSError:
        return False
    try:
        return not _locks(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def writer_engine(path: Path) -> Engine:
    """One connection, used by one thread at a time."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1e3)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
        # After a burst the write-ahead log is cut back to this size instead of keeping its largest.
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    _begin_with(engine, "BEGIN IMMEDIATE")
    names.forget_on_rollback(engine)
    return engine


def reader_engine(path: Path) -> Engine:
    """Connections that cannot write; each transaction sees one snapshot."""
    if not path.exists():
        raise StoreMissing(f"There is no store at {path}. `driftd run` makes it; check store.path.")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_MS / 1e3,
        )
        connection.execute("PRAGMA query_only = ON")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=4, max_overflow=12)
    _begin_with(engine, "BEGIN")
    return engine


def _begin_with(engine: Engine, begin: str) -> None:
    # The driver's own BEGIN is deferred: two writers would find out only at their first write, after they have read.
    @event.listens_for(engine, "begin")
    def _(connection: Any) -> None:
        connection.exec_driver_sql(begin)


def copy(source: Path, target: Path) -> None:
    """Copy a store while it is in use, with SQLite's online backup: one consistent snapshot, or no file at all."""
    unfinished = target.with_name(target.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reading,
            closing(sqlite3.connect(unfinished)) as writing,
        ):
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode = WAL")
        unfinished.rename(target)
    except (OSError, sqlite3.Error) as error:
        unfinished.unlink(missing_ok=True)
        raise StoreUnavailable(
            f"The copy {target} could not be made: {error}.", "Nothing is left of it; choose a place with room."
        ) from error


def integrity(conn: Connection) -> list[str]:
    """What SQLite's own check finds broken."""
    found = [str(row[0]) for row in conn.exec_driver_sql("PRAGMA integrity_check")]
    found += [f"foreign key of {row[0]} row {row[1]}" for row in conn.exec_driver_sql("PRAGMA foreign_key_check")]
    return [sentence for sentence in found if sentence != "ok"]


_ENVIRONMENTAL = frozenset(
    {
        "SQLITE_FULL",
        "SQLITE_BUSY",
        "SQLITE_LOCKED",
        "SQLITE_READONLY",
        "SQLITE_CANTOPEN",
        "SQLITE_IOERR",
        "SQLITE_CORRUPT",
        "SQLITE_NOTADB",
        "SQLITE_PERM",
        "SQLITE_PROTOCOL",
        "SQLITE_NOLFS",
    }
)


def is_environmental(error: DBAPIError) -> bool:
    """Whether the disk, the file or another program is to blame, and not the statement."""
    name = getattr(error.orig, "sqlite_errorname", "")
    return any(name == known or name.startswith(known + "_") for known in _ENVIRONMENTAL)


def unavailable(error: BaseException, path: Path) -> StoreUnavailable:
    """The sentence for an error of the file or the database."""
    # A system's error names the file as well, and a folder may be called full, or locked.
    text = (error.strerror if isinstance(error, OSError) else None) or str(getattr(error, "orig", None) or error)
    lower = text.lower()
    if "full" in lower or "no space" in lower:
        return StoreUnavailable(
            f"The disk that holds the store {path} is full.",
            "Make room on it, or lower store.retention; driftd goes on by itself when there is room.",
        )
    if "locked" in lower or "busy" in lower:
        return StoreUnavailable(
            f"The store {path} is locked by another program for longer than {BUSY_TIMEOUT_MS // 1000} s.",
            "End the program that has it open (a database browser, a copy without `driftd store backup`).",
        )
    if "readonly" in lower or "read-only" in lower or "permission" in lower or "unable to open" in lower:
        return StoreUnavailable(
            f"The store {path} cannot be opened or written: {text}.",
            "Check the directory, its owner and its permissions.",
        )
    if "malformed" in lower or "not a database" in lower:
        return StoreUnavailable(
            f"The store {path} is damaged: {text}.", "Stop driftd and put back a copy made by `driftd store backup`."
        )
    return StoreUnavailable(f"The store {path} cannot be used: {text}.", "Check the disk and the system's log.")
