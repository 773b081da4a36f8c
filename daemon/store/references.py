"""References, which of them each model is held against, and the live windows that help to calibrate them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, select, update

from daemon.store import dialect
from daemon.store.schema import meta, reference_uses, reference_windows, references
from detectors.instants import Micros


@dataclass(frozen=True, slots=True)
class StoredReference:
    """A reference as it was read; `hash` is of its content, so the same file twice is one reference."""

    hash: str
    model: str
    uri: str
    rows: int
    created_at: Micros
    body: bytes


@dataclass(frozen=True, slots=True)
class ReferenceUse:
    """The reference that a model, or one of its versions, is held against, and since when."""

    model: str
    version: str | None
    reference_hash: str
    since: Micros


def add(conn: Connection, reference: StoredReference) -> None:
    """Keep a reference; one that is there already stays as it is."""
    conn.execute(dialect.insert(conn, references).values(asdict(reference)).on_conflict_do_nothing())


def load(conn: Connection, reference_hash: str) -> StoredReference | None:
    """The reference with this hash, or None."""
    row = conn.execute(select(references).where(references.c.hash == reference_hash)).one_or_none()
    return None if row is None else StoredReference(*row)


def use(conn: Connection, use: ReferenceUse) -> None:
    """Hold a model, or one of its versions, against this reference from now on; the same again keeps its instant."""
    if current(conn, use.model, use.version) == use.reference_hash and (
        use.version is None or current(conn, use.model) != use.reference_hash
    ):
        return
    dialect.put(
        conn,
        reference_uses,
        {
            "model": use.model,
            "version": use.version or "",
            "reference_hash": use.reference_hash,
            "since": use.since,
        },
    )


def current(conn: Connection, model: str, version: str | None = None) -> str | None:
    """The hash of the version's own reference, else of the model's, else None."""
    query = (
        select(reference_uses.c.reference_hash)
        .where(reference_uses.c.model == model, reference_uses.c.version.in_(["", version or ""]))
        .order_by(reference_uses.c.version.desc())
    )
    return conn.execute(query).scalars().first()


def remember_file(conn: Connection, model: str, mark: int) -> None:
    """Keep the mark of the file that a model's reference was read from: of all that its reference depends on."""
    dialect.put(conn, meta, {"key": f"reference_file:{model}", "value": mark})


def file_mark(conn: Connection, model: str) -> int | None:
    """The mark of the file that a model's reference was last read from."""
    return conn.execute(select(meta.c.value).where(meta.c.key == f"reference_file:{model}")).scalar()


def add_live_window(
    conn: Connection,
    model: str,
    reference_hash: str,
    *,
    window_start: Micros,
    window_end: Micros,
    added_at: Micros,
    vector: bytes,
) -> None:
    """Add a live window to a reference; one that is there already stays as it is.

    `added_at` is an event time: the watermark at which the window was final and unflagged.
    """
    statement = dialect.insert(conn, reference_windows).values(
        model=model,
        reference_hash=reference_hash,
        window_start=window_start,
        window_end=window_end,
        added_at=added_at,
        vector=vector,
    )
    conn.execute(statement.on_conflict_do_nothing())


def live_windows(
    conn: Connection, model: str, reference_hash: str, as_of: Micros, limit: int | None = None
) -> list[bytes]:
    """The vectors of the live windows that ended by `as_of`, in order; the first `limit` of them."""
    query = (
        select(reference_windows.c.vector)
        .where(
            reference_windows.c.model == model,
            reference_windows.c.reference_hash == reference_hash,
            reference_windows.c.window_end <= as_of,
        )
        .order_by(reference_windows.c.window_start)
        .limit(limit)
    )
    return list(conn.scalars(query))


def last_live_window_end(conn: Connection, model: str, reference_hash: str) -> Micros | None:
    """The end of the last live window of a reference, or None: the next one must not begin before it."""
    query = (
        select(reference_windows.c.window_end)
        .where(reference_windows.c.model == model, reference_windows.c.reference_hash == reference_hash)
        .order_by(reference_windows.c.window_start.desc())
        .limit(1)
    )
    return conn.execute(query).scalar()


def revise_live_window(
    conn: Connection, model: str, reference_hash: str, *, window_start: Micros, vector: bytes | None
) -> None:
    """Put a revised vector in the place of a live window's, or with None take the window away; no other is added."""
    that = (
        reference_windows.c.model == model,
        reference_windows.c.reference_hash == reference_hash,
        reference_windows.c.window_start == window_start,
    )
    if vector is None:
        conn.execute(delete(reference_windows).where(*that))
    else:
        conn.execute(update(reference_windows).where(*that).values(vector=vector))
