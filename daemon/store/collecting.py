"""A reference that is collected from live traffic: which windows it is made of, and how far reading may go meanwhile.

Windows are disjoint, of production's length, and decided in order: a window is part of the reference or skipped for a
reason. A window is decided once every partition has shown a row at or after the instant at which it `closes`; rows that
come later in their partition are dropped. So what a window holds depends on the partitions' rows alone, not on when
anybody looked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, select, update

from daemon.store import dialect, gaps
from daemon.store.schema import collected_windows, collections, labelled_references, panes
from detectors.instants import Micros

TOO_FEW_ROWS = "too few rows"
BEGUN_MIDWAY = "reading began in it"
LOST_ROWS = "rows were lost"
UNUSABLE = "not usable so far: "
"""Why a window is skipped. What begins like the last was the oldest one of a reference that could not be used."""

NOTHING: Micros = -(1 << 62)
"""Before every event time."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One model's collection: the spec that its rows are counted by, and the terms of its windows.

    `size`, `pane` and `delay` are lengths, `wanted` is how many windows there must be. `since` is the first pane that
    counts, `decided_until` the end of the last window that was decided on, None before the first. `judged_from` is the
    pane from which on windows are judged, None while there is no reference. `request_hash` names what the reference was
    built for; `is_labelled` says that its labels have been looked up, or that there are none to wait for.
    """

    model: str
    spec_hash: str
    size: Micros
    pane: Micros
    delay: Micros
    min_rows: int
    wanted: int
    since: Micros
    decided_until: Micros | None = None
    judged_from: Micros | None = None
    request_hash: str | None = None
    is_labelled: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the reference is still to come."""
        return self.judged_from is None

    def closes(self, end: Micros) -> Micros:
        """The first pane that rows are read from once a window that ends at `end` is closed."""
        return -(-(end + self.delay) // self.pane) * self.pane

    def decidable_until(self, watermark: Micros) -> Micros:
        """The end of the last window that is closed in every partition when this is the effective watermark."""
        read_until = (watermark + self.delay) // self.pane * self.pane
        return (read_until - self.delay) // self.size * self.size

    def ends(self, used: int) -> Micros:
        """Where the reference ends at the earliest, when `used` windows are part of it, and reading may go on to.

        NOTHING until something is decided: the very first row of each partition says where windows begin.
        """
        if self.decided_until is None:
            return NOTHING
        return self.closes(self.decided_until + max(0, self.wanted - used) * self.size)


@dataclass(frozen=True, slots=True)
class Barrier:
    """The event times at which reading stops, in each partition at the first row that is no earlier; None: nowhere.

    Labels are read on from there for as long as they are waited for.
    """

    predictions: Micros | None
    labels: Micros | None


@dataclass(frozen=True, slots=True)
class CollectedWindow:
    """One window that was decided on: its rows, and why it was skipped, None when it is part of the reference.

    `is_merged` says that the sample of its rows is stored with it.
    """

    start: Micros
    rows: int
    skipped: str | None
    is_merged: bool


def begin(conn: Connection, collection: Collection) -> None:
    """Start a collection, in the place of any other of the model."""
    conn.execute(delete(collected_windows).where(collected_windows.c.model == collection.model))
    dialect.put(conn, collections, asdict(collection))


def load(conn: Connection, model: str) -> Collection | None:
    """The model's collection, or None: its reference came from elsewhere, or nothing has begun."""
    row = conn.execute(select(collections).where(collections.c.model == model)).one_or_none()
    return None if row is None else Collection(*row)


def load_all(conn: Connection) -> dict[str, Collection]:
    """Every collection, by model."""
    return {row.model: Collection(*row) for row in conn.execute(select(collections).order_by(collections.c.model))}


def windows(conn: Connection, model: str) -> list[CollectedWindow]:
    """The windows that were decided on, in order."""
    table = collected_windows.c
    query = (
        select(table.window_start, table.rows, table.skipped, table.sample.is_not(None))
        .where(table.model == model)
        .order_by(table.window_start)
    )
    return [CollectedWindow(row[0], row[1], row[2], bool(row[3])) for row in conn.execute(query)]


def used(conn: Connection, model: str) -> int:
    """How many windows are part of the reference."""
    query = select(func.count()).where(collected_windows.c.model == model, collected_windows.c.skipped.is_(None))
    return conn.execute(query).scalar_one()


def barriers(conn: Connection) -> dict[str, Barrier]:
    """How far each model may read whose reference is not complete, or waits for its labels."""
    found = {}
    for name, collection in load_all(conn).items():
        if collection.is_open or not collection.is_labelled:
            end = collection.ends(used(conn, name))
            found[name] = Barrier(end if collection.is_open else None, None if collection.is_labelled else end)
    return found


def decide(conn: Connection, model: str, watermark: Micros | None) -> None:
    """Decide on the windows that the effective watermark has closed, in the transaction that counted their rows."""
    collection = load(conn, model)
    if collection is None or not collection.is_open or watermark is None:
        return
    count = used(conn, model)
    until = collection.decidable_until(watermark)
    if count >= collection.wanted or (collection.decided_until is not None and until <= collection.decided_until):
        return
    for start, rows in sorted(_rows(conn, collection, until).items()):
        skipped = _why_skipped(conn, collection, start, rows)
        dialect.insert_many(
            conn,
            collected_windows,
            ("model", "window_start", "rows", "skipped"),
            [(model, start, rows, skipped)],
        )
        count += skipped is None
        if count == collection.wanted:
            until = start + collection.size
            break
    conn.execute(update(collections).where(collections.c.model == model).values(decided_until=until))


def _rows(conn: Connection, collection: Collection, until: Micros) -> dict[Micros, int]:
    """The rows of each window that ends by `until` and has not been decided on."""
    after = collection.since if collection.decided_until is None else collection.decided_until
    query = select(panes.c.pane_start, func.sum(panes.c.rows)).where(
        panes.c.model == collection.model,
        panes.c.spec_hash == collection.spec_hash,
        panes.c.pane_start >= after,
        panes.c.pane_start < until,
    )
    found: dict[Micros, int] = {}
    for start, rows in conn.execute(query.group_by(panes.c.pane_start)):
        window = start - start % collection.size
        found[window] = found.get(window, 0) + int(rows)
    return found


def _why_skipped(conn: Connection, collection: Collection, start: Micros, rows: int) -> str | None:
    first = select(func.min(panes.c.pane_start)).where(
        panes.c.model == collection.model, panes.c.spec_hash == collection.spec_hash
    )
    if start < conn.execute(first).scalar_one():
        return BEGUN_MIDWAY
    if rows < collection.min_rows:
        return TOO_FEW_ROWS
    lost = gaps.gaps(conn, collection.model, start, start + collection.size)
    return LOST_ROWS if any(gap.role == "predictions" for gap in lost) else None


def drop_first(conn: Connection, model: str, reason: str) -> None:
    """Give up the oldest window of a reference that cannot be used, so that one more is collected."""
    table = collected_windows.c
    first = select(func.min(table.window_start)).where(table.model == model, table.skipped.is_(None)).scalar_subquery()
    conn.execute(
        update(collected_windows)
        .where(table.model == model, table.window_start == first)
        .values(skipped=UNUSABLE + reason, sample=None)
    )


def set_wanted(conn: Connection, model: str, wanted: int) -> None:
    """Change how many windows there must be."""
    conn.execute(update(collections).where(collections.c.model == model).values(wanted=wanted))


def keep_sample(conn: Connection, model: str, start: Micros, sample: bytes) -> None:
    """Keep the sample of a window that is part of the reference."""
    _set(conn, model, start, {"sample": sample})


def keep_labels(conn: Connection, model: str, start: Micros, labels: bytes) -> None:
    """Keep the labels of a window's sample, row by row."""
    _set(conn, model, start, {"labels": labels})


def _set(conn: Connection, model: str, start: Micros, values: Mapping[str, bytes]) -> None:
    table = collected_windows
    conn.execute(update(table).where(table.c.model == model, table.c.window_start == start).values(**values))


@dataclass(frozen=True, slots=True)
class KeptWindow:
    """A window of the reference with the sample of its rows and, once they have been looked up, their labels."""

    start: Micros
    rows: int
    sample: bytes
    labels: bytes | None


def kept(conn: Connection, model: str) -> list[KeptWindow]:
    """The windows of the reference, in order, as far as their samples are stored."""
    table = collected_windows.c
    query = (
        select(table.window_start, table.rows, table.sample, table.labels)
        .where(table.model == model, table.skipped.is_(None), table.sample.is_not(None))
        .order_by(table.window_start)
    )
    return [KeptWindow(*row) for row in conn.execute(query)]


def set_built(conn: Connection, model: str, *, judged_from: Micros, request_hash: str, is_labelled: bool) -> None:
    """There is a reference, and windows from a pane on are held against it."""
    values = {"judged_from": judged_from, "request_hash": request_hash, "is_labelled": is_labelled}
    conn.execute(update(collections).where(collections.c.model == model).values(**values))


def set_labelled(conn: Connection, model: str, reference_hash: str | None, labelled_hash: str | None) -> None:
    """The labels have been looked up; with two hashes quality is held against the second reference from now on."""
    if reference_hash is not None and labelled_hash is not None:
        dialect.put(conn, labelled_references, {"reference_hash": reference_hash, "labelled_hash": labelled_hash})
    conn.execute(update(collections).where(collections.c.model == model).values(is_labelled=True))


def labelled(conn: Connection, reference_hash: str) -> str:
    """The hash of the reference that quality is held against: the same with labels, where there is one."""
    query = select(labelled_references.c.labelled_hash).where(labelled_references.c.reference_hash == reference_hash)
    return conn.execute(query).scalar() or reference_hash


def give_up(conn: Connection, model: str) -> None:
    """Forget a collection whose model takes its reference from elsewhere."""
    for table in (collected_windows, collections):
        conn.execute(delete(table).where(table.c.model == model))


def needed_from(conn: Connection, model: str) -> Micros | None:
    """The first pane whose samples the reference still needs; None when it needs none."""
    collection = load(conn, model)
    if collection is None or not collection.is_open:
        return None
    waiting = [window.start for window in windows(conn, model) if window.skipped is None and not window.is_merged]
    undecided = collection.since if collection.decided_until is None else collection.decided_until
    return min([*waiting, undecided])


def progress(found: Collection, decided: Sequence[CollectedWindow]) -> str:
    """How far the collection is, as a sentence.

    >>> windows = [CollectedWindow(0, 500, None, True), CollectedWindow(1, 3, TOO_FEW_ROWS, False)]
    >>> progress(Collection("m", "", 1, 1, 0, 200, 14, 0), windows)
    'collecting its reference: 1 of 14 windows, 1 skipped for too few rows'
    """
    count = sum(window.skipped is None for window in decided)
    few = sum(window.skipped == TOO_FEW_ROWS for window in decided)
    skipped = f", {few} skipped for too few rows" if few else ""
    reasons = [window.skipped for window in decided if window.skipped is not None]
    unusable = [reason for reason in reasons if reason.startswith(UNUSABLE)]
    more = f"; {unusable[-1]}" if unusable else ""
    return f"collecting its reference: {count} of {found.wanted} windows{skipped}{more}"
