"""Keeping the store in order: migrating, copying, checking it, and letting go of what has grown old."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, select, update

from daemon.store import collecting, dialect, migration, sqlite
from daemon.store.errors import StoreError, StoreMissing
from daemon.store.outbox import WAITING
from daemon.store.schema import evaluations, gaps, incidents, outbox, panes, partials, progress, receipts
from daemon.store.store import translated
from detectors.instants import Micros


@dataclass(frozen=True, slots=True)
class Keep:
    """How long each kind of state is kept, in microseconds."""

    results: Micros
    profiles: Micros
    samples: Micros


def migrate_store(path: Path, holder: str = "driftd store migrate") -> tuple[str | None, str]:
    """Bring the store at `path` to this program's revision, under the writer's lock; returns the one before and after.

    Raises:
        StoreHeld: a daemon is running.
        StoreMissing: there is no store.
        StoreNewer: the store is newer than this program.
    """
    path = path.resolve()
    if not path.exists():
        raise StoreMissing(f"There is no store at {path}. `driftd run` makes it; check store.path.")
    lock = sqlite.WriterLock(path, holder)
    engine = sqlite.writer_engine(path)
    try:
        with translated(path), engine.connect() as conn, conn.begin():
            before = migration.revision(conn)
            migration.migrate(conn)
            return before, migration.REVISIONS[-1]
    finally:
        engine.dispose()
        lock.release()


def backup(path: Path, target: Path) -> None:
    """Copy the store at `path` to a new file, beside a running daemon too.

    Raises:
        StoreMissing: there is no store at `path`.
        StoreError: `target` is there already; a copy never replaces another.
        StoreUnavailable: the copy could not be made, and nothing is left of it.
    """
    path = path.resolve()
    if not path.exists():
        raise StoreMissing(f"There is no store at {path}.")
    if target.exists():
        raise StoreError(f"{target} is there already. Name a new file: a copy never replaces another.")
    sqlite.copy(path, target)


def integrity(conn: Connection) -> list[str]:
    """What the database itself finds broken, as its own sentences; none in a sound store."""
    return sqlite.integrity(conn)


def retention(conn: Connection, keep: Keep, *, now: Micros) -> dict[str, int]:
    """Delete what is older than it is kept; returns how many rows of each kind went.

    A model's results, profiles and samples age by its own watermark, not by the wall clock: a replay of an old year
    keeps what it has just counted. What a reference is still collected from stays. What was told ages by `now`.
    """
    gone = {"results": 0, "profiles": 0, "samples": 0}
    for model, watermark in conn.execute(select(progress.c.model, progress.c.watermark)).all():
        if watermark is None:
            continue
        before = watermark - keep.results
        gone["results"] += conn.execute(
            delete(evaluations).where(evaluations.c.model == model, evaluations.c.window_end < before)
        ).rowcount
        collected_from = collecting.needed_from(conn, model)
        oldest = watermark if collected_from is None else collected_from
        before = min(oldest, watermark - keep.profiles)
        old = (partials.c.model == model, partials.c.pane_start < before)
        deleted = conn.execute(delete(partials).where(*old)).rowcount
        if deleted:
            gone["profiles"] += deleted
            conn.execute(delete(panes).where(panes.c.model == model, panes.c.pane_start < before))
            dialect.put(conn, progress, {"model": model, "profiles_kept_from": before})
        gone["samples"] += conn.execute(
            update(partials)
            .where(
                partials.c.model == model,
                partials.c.pane_start < min(oldest, watermark - keep.samples),
                partials.c.sample.is_not(None),
            )
            .values(sample=None)
        ).rowcount
    before = now - keep.results
    gone["outbox"] = conn.execute(delete(outbox).where(outbox.c.state != WAITING, outbox.c.done_at < before)).rowcount
    gone["incidents"] = conn.execute(delete(incidents).where(incidents.c.resolved_at < before)).rowcount
    gone["receipts"] = conn.execute(
        delete(receipts).where(
            receipts.c.delivered_at < before,
            ~select(outbox.c.id).where(outbox.c.subject == receipts.c.subject).exists(),
        )
    ).rowcount
    gone["gaps"] = conn.execute(delete(gaps).where(gaps.c.at < before)).rowcount
    return gone


def store_bytes(path: Path) -> int:
    """The size of the store on disk with its write-ahead log."""
    return sum(file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists())
