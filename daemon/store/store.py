"""The store: one writer, short snapshot readers, errors in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from daemon.store import migration, sqlite
from daemon.store.errors import StoreError
from detectors.instants import Micros


class Store:
    """An open store. Make one with `Store.open`; use it from any thread; never share it over a fork."""

    def __init__(self, path: Path, *, readers: Engine, writer: Engine | None, lock: sqlite.WriterLock | None) -> None:
        self.path = path
        self._readers = readers
        self._writer = writer
        self._lock = lock
        self._writing = threading.Lock()
        self._written_by: int | None = None

    @classmethod
    def open(cls, path: Path, *, writer: bool, holder: str = "") -> Store:
        """Open the store at `path`.

        A writer takes the lock for as long as it lives and makes a fresh store where there is none; `holder` is the
        command that the lock file shows to others.

        Raises:
            StoreHeld: another process is the writer.
            StoreMissing: a reader finds no store.
            StoreOutdated, StoreNewer: the program and the store do not fit together.
            StoreUnavailable: the file cannot be opened.
        """
        path = path.resolve()
        if not writer:
            readers = sqlite.reader_engine(path)
            try:
                with translated(path), readers.connect() as conn, conn.begin():
                    migration.check(conn)
            except BaseException:
                readers.dispose()
                raise
            return cls(path, readers=readers, writer=None, lock=None)
        lock = sqlite.WriterLock(path, holder)
        engine = sqlite.writer_engine(path)
        try:
            with translated(path), engine.connect() as conn, conn.begin():
                if migration.is_fresh(conn):
                    migration.migrate(conn)
                migration.check(conn)
            return cls(path, readers=sqlite.reader_engine(path), writer=engine, lock=lock)
        except BaseException:
            engine.dispose()
            lock.release()
            raise

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction of the one writer: committed at the end of the block, rolled back on any exception.

        Keep it short: intake's checkpoint waits for it.

        Raises:
            StoreUnavailable: the disk is full, the file locked or broken; nothing was changed.
            StoreError: the store is open for reading only, or this thread is in such a block already.
        """
        if self._writer is None:
            raise StoreError(f"The store {self.path} is open for reading only.")
        if self._written_by == threading.get_ident():
            raise StoreError("A write block inside a write block would wait for itself: pass the connection on.")
        with self._writing:
            self._written_by = threading.get_ident()
            try:
                with translated(self.path), self._writer.connect() as conn, conn.begin():
                    yield conn
            finally:
                self._written_by = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot: every question inside sees the same committed state. Keep it short, or the log cannot shrink."""
        with translated(self.path), self._readers.connect() as conn, conn.begin():
            yield conn

    def tell(self, trouble: str, now: Micros) -> None:
        """Say what is in trouble where `sqlite.told` finds it, even when nothing can be written; "" when it is over."""
        if self._lock is not None:
            self._lock.tell(trouble, now)

    def close(self) -> None:
        """Close every connection and give the lock back; a second call does nothing."""
        self._readers.dispose()
        if self._writer is not None:
            with self._writing:
                self._writer.dispose()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn a full disk, a locked or broken file into StoreUnavailable; a mistake in a statement stays as it is."""
    try:
        yield
    except DBAPIError as error:
        if sqlite.is_environmental(error):
            raise sqlite.unavailable(error, path) from error
        raise
