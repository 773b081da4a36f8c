"""Partials: the summaries of one (model, version, pane) in one checkpoint, and how they are compacted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from daemon.store import dialect
from daemon.store.columns import SHIFT
from daemon.store.schema import panes, partials
from detectors.instants import Micros

FAN_IN = 16
"""How many partials of one tier become one of the next."""


_PARTIAL_COLUMNS = (
    "model",
    "version",
    "pane_start",
    "spec_hash",
    "tier",
    "rows",
    "created_at",
    "profile",
    "sample",
)
_PANE_COLUMNS = (
    "model",
    "version",
    "pane_start",
    "spec_hash",
    "rows",
    "kth_hash",
    "min_event_time",
    "max_event_time",
)
# The lowest hash that is known: least() and min() treat a null differently in each database.
_ADD_TO_PANE = """
ON CONFLICT (model, pane_start, version, spec_hash) DO UPDATE SET
    rows = panes.rows + excluded.rows,
    kth_hash = CASE WHEN panes.kth_hash IS NULL OR excluded.kth_hash < panes.kth_hash
        THEN excluded.kth_hash ELSE panes.kth_hash END,
    min_event_time = CASE WHEN excluded.min_event_time < panes.min_event_time
        THEN excluded.min_event_time ELSE panes.min_event_time END,
    max_event_time = CASE WHEN excluded.max_event_time > panes.max_event_time
        THEN excluded.max_event_time ELSE panes.max_event_time END
"""


@dataclass(frozen=True, slots=True)
class StoredPartial:
    """One partial; `profile` and `sample` are the detectors' bytes, the latter None once samples have expired."""

    id: int
    version: str
    pane_start: Micros
    spec_hash: str
    tier: int
    rows: int
    profile: bytes
    sample: bytes | None


@dataclass(frozen=True, slots=True)
class PaneRows:
    """How many rows one version has in one pane under one spec, and where their event times lie."""

    version: str
    pane_start: Micros
    spec_hash: str
    rows: int
    min_event_time: Micros
    max_event_time: Micros


@dataclass(frozen=True, slots=True)
class Compaction:
    """Partials of one tier of one pane that should become one partial of the next."""

    model: str
    version: str
    pane_start: Micros
    spec_hash: str
    tier: int
    ids: tuple[int, ...]


def add_partial(
    conn: Connection,
    model: str,
    version: str,
    pane_start: Micros,
    spec_hash: str,
    *,
    rows: int,
    profile: bytes,
    sample: bytes | None,
    kth_hash: int | None,
    min_event_time: Micros,
    max_event_time: Micros,
    now: Micros,
) -> None:
    """Add the partial of a checkpoint.

    `kth_hash` is the k-th lowest hash of `sample`, unsigned, or None while it has fewer than k rows: rows at or above
    the lowest k-th hash of any part cannot be among the pane's k lowest, and need not be written any more.
    """
    partial = (model, version, pane_start, spec_hash, 0, rows, now, profile, sample)
    dialect.insert_many(conn, partials, _PARTIAL_COLUMNS, [partial])
    kth = None if kth_hash is None else kth_hash - SHIFT
    pane = (model, version, pane_start, spec_hash, rows, kth, min_event_time, max_event_time)
    dialect.insert_many(conn, panes, _PANE_COLUMNS, [pane], conflict=_ADD_TO_PANE)


def sample_threshold(conn: Connection, model: str, version: str, pane_start: Micros, spec_hash: str) -> int | None:
    """The hash below which a row can still be in the pane's sample, unsigned; None while every row can."""
    value = conn.execute(
        select(panes.c.kth_hash).where(
            panes.c.model == model,
            panes.c.pane_start == pane_start,
            panes.c.version == version,
            panes.c.spec_hash == spec_hash,
        )
    ).scalar()
    return None if value is None else value + SHIFT


def lower_sample_threshold(
    conn: Connection, model: str, version: str, pane_start: Micros, spec_hash: str, kth_hash: int
) -> None:
    """Remember a lower k-th hash, found by merging samples."""
    conn.execute(
        update(panes)
        .where(
            panes.c.model == model,
            panes.c.pane_start == pane_start,
            panes.c.version == version,
            panes.c.spec_hash == spec_hash,
            or_(panes.c.kth_hash.is_(None), panes.c.kth_hash > kth_hash - SHIFT),
        )
        .values(kth_hash=kth_hash - SHIFT)
    )


def pane_rows(conn: Connection, model: str, start: Micros | None = None, end: Micros | None = None) -> list[PaneRows]:
    """The panes that begin in [start, end), by start, version and spec."""
    query = (
        select(
            panes.c.version,
            panes.c.pane_start,
            panes.c.spec_hash,
            panes.c.rows,
            panes.c.min_event_time,
            panes.c.max_event_time,
        )
        .where(panes.c.model == model)
        .order_by(panes.c.pane_start, panes.c.version, panes.c.spec_hash)
    )
    if start is not None:
        query = query.where(panes.c.pane_start >= start)
    if end is not None:
        query = query.where(panes.c.pane_start < end)
    return [PaneRows(*row) for row in conn.execute(query)]


def first_pane(conn: Connection, model: str, version: str | None = None) -> Micros | None:
    """The start of the first pane that has a row, of any version or of one, or None."""
    query = select(func.min(panes.c.pane_start)).where(panes.c.model == model)
    return conn.execute(query if version is None else query.where(panes.c.version == version)).scalar()


_PARTIAL = (
    partials.c.id,
    partials.c.version,
    partials.c.pane_start,
    partials.c.spec_hash,
    partials.c.tier,
    partials.c.rows,
    partials.c.profile,
    partials.c.sample,
)


def load_partials(conn: Connection, model: str, start: Micros, end: Micros) -> list[StoredPartial]:
    """Every partial of the panes that begin in [start, end), by version, pane and age."""
    query = (
        select(*_PARTIAL)
        .where(partials.c.model == model, partials.c.pane_start >= start, partials.c.pane_start < end)
        .order_by(partials.c.version, partials.c.pane_start, partials.c.id)
    )
    return [StoredPartial(*row) for row in conn.execute(query)]


def load_parts(conn: Connection, ids: Sequence[int]) -> list[StoredPartial]:
    """The partials with these numbers, as far as they are still there."""
    query = select(*_PARTIAL).where(partials.c.id.in_(ids)).order_by(partials.c.id)
    return [StoredPartial(*row) for row in conn.execute(query)]


def compactable(conn: Connection, *, limit: int = 100) -> list[Compaction]:
    """Groups of exactly FAN_IN partials, the oldest of one tier of one pane, at most `limit` of them."""
    return _groups(conn, FAN_IN, limit)


def _groups(conn: Connection, at_least: int, limit: int) -> list[Compaction]:
    key = (partials.c.model, partials.c.pane_start, partials.c.version, partials.c.spec_hash, partials.c.tier)
    crowded = select(*key).group_by(*key).having(func.count() >= at_least).limit(limit)
    groups = []
    for model, pane_start, version, spec_hash, tier in conn.execute(crowded).all():
        ids = conn.scalars(
            select(partials.c.id)
            .where(
                partials.c.model == model,
                partials.c.pane_start == pane_start,
                partials.c.version == version,
                partials.c.spec_hash == spec_hash,
                partials.c.tier == tier,
            )
            .order_by(partials.c.id)
            .limit(FAN_IN)
        )
        groups.append(Compaction(model, version, pane_start, spec_hash, tier, tuple(ids)))
    return groups


def settled(conn: Connection, model: str, before: Micros, *, limit: int = 100) -> list[Compaction]:
    """Panes that begin before `before` and still have several partials, to be made one each whatever their tiers.

    `tier` of a group is its highest; the merged partial stands one above it.
    """
    key = (partials.c.pane_start, partials.c.version, partials.c.spec_hash)
    several = (
        select(*key, func.max(partials.c.tier))
        .where(partials.c.model == model, partials.c.pane_start < before)
        .group_by(*key)
        .having(func.count() > 1)
        .limit(limit)
    )
    groups = []
    for pane_start, version, spec_hash, tier in conn.execute(several).all():
        ids = conn.scalars(
            select(partials.c.id)
            .where(
                and_(
                    partials.c.model == model,
                    partials.c.pane_start == pane_start,
                    partials.c.version == version,
                    partials.c.spec_hash == spec_hash,
                )
            )
            .order_by(partials.c.id)
        )
        groups.append(Compaction(model, version, pane_start, spec_hash, tier, tuple(ids)))
    return groups


def replace(
    conn: Connection, group: Compaction, *, rows: int, profile: bytes, sample: bytes | None, now: Micros
) -> bool:
    """Put one merged partial in the place of exactly the group's; False, and no change, if one of them is gone."""
    there = conn.execute(
        select(func.count(), func.coalesce(func.sum(partials.c.rows), 0)).where(partials.c.id.in_(group.ids))
    ).one()
    if tuple(there) != (len(group.ids), rows):
        return False
    conn.execute(delete(partials).where(partials.c.id.in_(group.ids)))
    merged = (
        group.model,
        group.version,
        group.pane_start,
        group.spec_hash,
        group.tier + 1,
        rows,
        now,
        profile,
        sample,
    )
    dialect.insert_many(conn, partials, _PARTIAL_COLUMNS, [merged])
    return True
