"""Predictions that wait for their labels.

Of several predictions with one id the one of the earliest event time counts, then of the lowest offset, whatever the
order of reading.

A pane keeps the predictions whose hash is below its threshold. It starts open and is halved whenever the pane holds
more than KEPT_PER_PANE: what is kept in the end depends on the pane's rows alone, not on their order.

Hashes are the unsigned 64-bit ones of `detectors.rows`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlalchemy import Connection, bindparam, delete, func, select, update

from daemon.store import books, dialect, names
from daemon.store.columns import HASHES, SHIFT, check_lengths, numbers_and_texts, signed, taken
from daemon.store.schema import label_panes, predictions
from detectors.instants import Micros

KEPT_PER_PANE = 20_000

_COLUMNS = (
    "model_id",
    "pane_start",
    "id_hash",
    "item",
    "event_time",
    "offset",
    "partition",
    "version_id",
    "segments_id",
    "prediction",
    "prediction_text",
    "score",
)
_PANE, _HASH, _ITEM, _TIME, _OFFSET, _PARTITION = range(1, 7)


def add_predictions(
    conn: Connection,
    model: str,
    *,
    id_hash: ArrayLike,
    event_time: ArrayLike,
    partition: ArrayLike,
    offset: ArrayLike,
    version: Sequence[str],
    prediction: Sequence[float | str | None] | NDArray[Any],
    segments: Sequence[str],
    score: Sequence[float | None] | NDArray[Any] | None = None,
    item: ArrayLike | None = None,
    pane: Micros,
    limit: int = KEPT_PER_PANE,
) -> None:
    """Keep predictions until their labels come; lists or arrays of equal length.

    `pane` is the length of a pane, `segments` the row's segment values as JSON text ("{}" for none). What is no single
    value, a list of items or a class with its scores, is a text too (`detectors.predicted`). A prediction or score that
    is NaN or None is kept without one. Counts offered, awaiting, predictions_superseded and
    predictions_thinned.
    """
    hashes = np.asarray(id_hash, dtype=np.uint64)
    if not len(hashes):
        return
    model_id = names.intern(conn, {model})[model]
    times = np.asarray(event_time, dtype=np.int64)
    columns = _Columns(
        model_id=model_id,
        id_hash=hashes,
        item=np.zeros(len(hashes), np.int64) if item is None else np.asarray(item, dtype=np.int64),
        event_time=times,
        offset=np.asarray(offset, dtype=np.int64),
        partition=np.asarray(partition, dtype=np.int64),
        version=version,
        segments=segments,
        prediction=prediction,
        score=score,
    )
    given = {name: getattr(columns, name) for name in columns.__match_args__[1:]}
    check_lengths({name: column for name, column in given.items() if column is not None})
    pane_starts = times - times % pane
    counts = {"offered": len(hashes), "awaiting": 0, "predictions_superseded": 0, "predictions_thinned": 0}
    for pane_start in np.unique(pane_starts).tolist():
        index = np.flatnonzero(pane_starts == pane_start)
        _add_to_pane(conn, columns, pane_start, index, limit, counts)
    books.add(conn, model, counts)


@dataclass(frozen=True, slots=True)
class _Columns:
    """A batch of predictions, in the order of the table's columns after the pane."""

    model_id: int
    id_hash: NDArray[np.uint64]
    item: NDArray[np.int64]
    event_time: NDArray[np.int64]
    offset: NDArray[np.int64]
    partition: NDArray[np.int64]
    version: Sequence[str]
    segments: Sequence[str]
    prediction: Sequence[float | str | None] | NDArray[Any]
    score: Sequence[float | None] | NDArray[Any] | None

    def rows(self, conn: Connection, pane_start: Micros, index: NDArray[np.intp]) -> list[tuple[Any, ...]]:
        """The rows at these places, ready to be inserted."""
        version, segments = taken(self.version, index), taken(self.segments, index)
        shared = names.intern(conn, {*version, *segments})
        numbers, texts = numbers_and_texts(taken(self.prediction, index))
        return list(
            zip(
                repeat(self.model_id),
                repeat(pane_start),
                signed(self.id_hash[index]),
                self.item[index].tolist(),
                self.event_time[index].tolist(),
                self.offset[index].tolist(),
                self.partition[index].tolist(),
                [shared[text] for text in version],
                [shared[text] for text in segments],
                numbers,
                texts,
                repeat(None) if self.score is None else taken(self.score, index),
                strict=False,
            )
        )


def _add_to_pane(
    conn: Connection,
    columns: _Columns,
    pane_start: Micros,
    index: NDArray[np.intp],
    limit: int,
    counts: dict[str, int],
) -> None:
    """Add one pane's rows, and tighten its threshold if it then holds too many."""
    was_below, kept = _threshold(conn, columns.model_id, pane_start)
    below, offered = was_below, len(index)
    index = _below(columns, index, below)
    # Rows that the batch alone proves to be too many are not written first and deleted afterwards.
    while len(index) > limit and len(np.unique(columns.id_hash[index])) > limit:
        below //= 2
        index = _below(columns, index, below)
    # In the order of the key, so that neighbours in the batch are neighbours on disk.
    index = index[np.argsort(columns.id_hash[index], kind="stable")]
    rows = columns.rows(conn, pane_start, index)
    added = dialect.insert_many(conn, predictions, _COLUMNS, rows, conflict="ON CONFLICT DO NOTHING")
    kept += added
    if added < len(rows):
        kept += _replace_later(conn, columns.model_id, pane_start, rows)
    dropped = _drop_from(conn, columns.model_id, pane_start, below) if below < was_below else 0
    while kept - dropped > limit:
        below //= 2
        dropped += _drop_from(conn, columns.model_id, pane_start, below)
    counts["awaiting"] += added - dropped
    counts["predictions_superseded"] += len(rows) - added
    counts["predictions_thinned"] += offered - len(rows) + dropped
    state = {"below": None if below == HASHES else below - SHIFT, "kept": kept - dropped}
    dialect.put(conn, label_panes, {"model_id": columns.model_id, "pane_start": pane_start, **state})


def _below(columns: _Columns, index: NDArray[np.intp], below: int) -> NDArray[np.intp]:
    return index if below == HASHES else index[columns.id_hash[index] < np.uint64(below)]


def _drop_from(conn: Connection, model_id: int, pane_start: Micros, below: int) -> int:
    """Delete the pane's predictions whose hash is `below` or higher."""
    return conn.execute(
        delete(predictions).where(
            predictions.c.model_id == model_id,
            predictions.c.pane_start == pane_start,
            predictions.c.id_hash >= below - SHIFT,
        )
    ).rowcount


def _replace_later(conn: Connection, model_id: int, pane_start: Micros, rows: list[tuple[Any, ...]]) -> int:
    """Put those of `rows` in the place of stored predictions of the same id that are later.

    Returns by how many rows this pane grew: those whose later prediction lay in another pane.
    """
    first: dict[tuple[int, int], tuple[Any, ...]] = {}
    for row in sorted(rows, key=itemgetter(_TIME, _OFFSET, _PARTITION)):
        first.setdefault((row[_HASH], row[_ITEM]), row)
    hashes = sorted({key[0] for key in first})
    later: list[tuple[Any, ...]] = []
    place = [predictions.c[name] for name in _COLUMNS[: _PARTITION + 1]]
    for i in range(0, len(hashes), 500):
        stored = select(*place).where(
            predictions.c.model_id == model_id, predictions.c.id_hash.in_(hashes[i : i + 500])
        )
        for there in conn.execute(stored):
            new = first.get((there.id_hash, there.item))
            if new is not None and new[_TIME : _PARTITION + 1] < tuple(there)[_TIME : _PARTITION + 1]:
                later.append(tuple(there))
    if not later:
        return 0
    conn.execute(
        delete(predictions).where(
            predictions.c.model_id == model_id,
            predictions.c.pane_start == bindparam("pane"),
            predictions.c.id_hash == bindparam("hash"),
            predictions.c.item == bindparam("number"),
        ),
        [{"pane": row[_PANE], "hash": row[_HASH], "number": row[_ITEM]} for row in later],
    )
    dialect.insert_many(conn, predictions, _COLUMNS, [first[row[_HASH], row[_ITEM]] for row in later])
    elsewhere = [row[_PANE] for row in later if row[_PANE] != pane_start]
    for pane, count in Counter(elsewhere).items():
        conn.execute(
            update(label_panes)
            .where(label_panes.c.model_id == model_id, label_panes.c.pane_start == pane)
            .values(kept=label_panes.c.kept - count)
        )
    return len(elsewhere)


def _threshold(conn: Connection, model_id: int, pane_start: Micros) -> tuple[int, int]:
    """The pane's threshold, unsigned, and how many predictions it keeps."""
    row = conn.execute(
        select(label_panes.c.below, label_panes.c.kept).where(
            label_panes.c.model_id == model_id, label_panes.c.pane_start == pane_start
        )
    ).one_or_none()
    if row is None:
        return HASHES, 0
    return HASHES if row.below is None else row.below + SHIFT, row.kept


def threshold(conn: Connection, model: str, pane_start: Micros) -> int:
    """The hash below which the pane keeps predictions, unsigned: 2^64 while it keeps all."""
    model_id = names.number(conn, model)
    return HASHES if model_id is None else _threshold(conn, model_id, pane_start)[0]


def loosest_threshold(conn: Connection, model: str) -> int:
    """The highest threshold of the model's open panes: no label at or above it can find its prediction."""
    model_id = names.number(conn, model)
    if model_id is None:
        return HASHES
    query = select(
        func.count(label_panes.c.pane_start), func.count(label_panes.c.below), func.max(label_panes.c.below)
    ).where(label_panes.c.model_id == model_id)
    panes, tightened, below = conn.execute(query).one()
    return HASHES if panes == 0 or tightened < panes else below + SHIFT


def texts(conn: Connection, model: str, start: Micros, end: Micros, *, limit: int) -> dict[str, tuple[str, ...]]:
    """By version the predictions kept as texts in the panes that begin in [start, end): those of lowest hash."""
    model_id = names.number(conn, model)
    if model_id is None:
        return {}
    table = predictions.c
    query = (
        select(table.version_id, table.prediction_text)
        .where(
            table.model_id == model_id,
            table.pane_start >= start,
            table.pane_start < end,
            table.prediction_text.is_not(None),
        )
        .order_by(table.id_hash, table.item)
        .limit(limit)
    )
    rows = conn.execute(query).all()
    versions = names.texts(conn, {version for version, _ in rows})
    found: defaultdict[str, list[str]] = defaultdict(list)
    for version, text in rows:
        found[versions[version]].append(text)
    return {version: tuple(found[version]) for version in sorted(found)}
