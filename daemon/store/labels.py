"""Predictions that wait for their labels, the labels, and the join of the two.

Of several predictions with one id the one of the earliest event time counts, then of the lowest offset; of several
labels the one of the latest time, then of the highest offset. So neither depends on the order of reading.

A pane keeps the predictions whose hash is below its threshold. It starts open and is halved whenever the pane holds
more than KEPT_PER_PANE: what is kept in the end depends on the pane's rows alone, not on their order. A label does not
know its prediction's pane, so it obeys the loosest threshold of all panes still open, and only once every prediction
that it could belong to has been read.

Hashes are the unsigned 64-bit ones of `detectors.rows`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, select, tuple_, update

from daemon.store import books, dialect, names
from daemon.store.schema import label_panes, labels, predictions, progress
from detectors.instants import Micros

KEPT_PER_PANE = 20_000

# Hashes are unsigned and the database's integers are signed: shifted, they keep their order.
_SHIFT = 1 << 63
_ALL = 1 << 64

_PREDICTION_COLUMNS = (
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
_LABEL_COLUMNS = ("model_id", "id_hash", "item", "time", "offset", "partition", "joined", "label", "label_text")
_PANE, _HASH, _ITEM, _TIME, _OFFSET, _PARTITION = range(1, 7)
_LATEST_LABEL = (
    "ON CONFLICT (model_id, id_hash, item) DO UPDATE SET time = excluded.time, "
    '"offset" = excluded."offset", "partition" = excluded."partition", '
    "label = excluded.label, label_text = excluded.label_text "
    'WHERE (excluded.time, excluded."offset", excluded."partition")'
    ' > (labels.time, labels."offset", labels."partition")'
)


@dataclass(frozen=True, slots=True)
class Joined:
    """The labelled predictions of a window as columns of equal length, in no particular order.

    `segments` is JSON text. `expected` counts the window's kept predictions, labelled or not. `fingerprint` changes
    when a label or prediction is replaced by another while the number of rows stays.
    """

    version: list[str]
    prediction: list[float | str | None]
    score: list[float | None]
    label: list[float | str | None]
    segments: list[str]
    expected: int
    fingerprint: int

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of a window's kept predictions have their label."""

    predictions: int
    joined: int
    fingerprint: int


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

    `pane` is the length of a pane, `segments` the row's segment values as JSON text ("{}" for none). A prediction or
    score that is NaN or None is kept without one. Counts offered, awaiting, predictions_superseded and
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
    _check_lengths({name: column for name, column in given.items() if column is not None})
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
        version, segments = _taken(self.version, index), _taken(self.segments, index)
        shared = names.intern(conn, {*version, *segments})
        numbers, texts = _numbers_and_texts(_taken(self.prediction, index))
        return list(
            zip(
                repeat(self.model_id),
                repeat(pane_start),
                _signed(self.id_hash[index]),
                self.item[index].tolist(),
                self.event_time[index].tolist(),
                self.offset[index].tolist(),
                self.partition[index].tolist(),
                [shared[text] for text in version],
                [shared[text] for text in segments],
                numbers,
                texts,
                repeat(None) if self.score is None else _taken(self.score, index),
                strict=False,
            )
        )


def _check_lengths(columns: Mapping[str, Sized]) -> None:
    """Columns of different lengths would lose rows without a word."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Columns of different lengths: {lengths}.")


def _taken(values: Sequence[Any] | NDArray[Any], index: NDArray[np.intp]) -> list[Any]:
    """The values at these places as Python's own; what a pane does not keep is not touched."""
    if isinstance(values, np.ndarray):
        chosen: list[Any] = values[index].tolist()
        return chosen
    return [values[place] for place in index.tolist()]


def _signed(unsigned: NDArray[np.uint64]) -> list[int]:
    """Hashes as the database keeps them."""
    shifted: list[int] = (unsigned ^ np.uint64(_SHIFT)).view(np.int64).tolist()
    return shifted


def _numbers_and_texts(values: list[Any]) -> tuple[Iterable[float | None], Iterable[str | None]]:
    """Values that are numbers or texts, as the two columns that hold them."""
    if str not in set(map(type, values)):
        return values, repeat(None)
    return (
        [None if isinstance(value, str) else value for value in values],
        [value if isinstance(value, str) else None for value in values],
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
    added = dialect.insert_many(conn, predictions, _PREDICTION_COLUMNS, rows, conflict="ON CONFLICT DO NOTHING")
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
    state = {"below": None if below == _ALL else below - _SHIFT, "kept": kept - dropped}
    dialect.put(conn, label_panes, {"model_id": columns.model_id, "pane_start": pane_start, **state})


def _below(columns: _Columns, index: NDArray[np.intp], below: int) -> NDArray[np.intp]:
    return index if below == _ALL else index[columns.id_hash[index] < np.uint64(below)]


def _drop_from(conn: Connection, model_id: int, pane_start: Micros, below: int) -> int:
    """Delete the pane's predictions whose hash is `below` or higher."""
    return conn.execute(
        delete(predictions).where(
            predictions.c.model_id == model_id,
            predictions.c.pane_start == pane_start,
            predictions.c.id_hash >= below - _SHIFT,
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
    place = [predictions.c[name] for name in _PREDICTION_COLUMNS[: _PARTITION + 1]]
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
    dialect.insert_many(conn, predictions, _PREDICTION_COLUMNS, [first[row[_HASH], row[_ITEM]] for row in later])
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
        return _ALL, 0
    return _ALL if row.below is None else row.below + _SHIFT, row.kept


def threshold(conn: Connection, model: str, pane_start: Micros) -> int:
    """The hash below which the pane keeps predictions, unsigned: 2^64 while it keeps all."""
    model_id = names.number(conn, model)
    return _ALL if model_id is None else _threshold(conn, model_id, pane_start)[0]


def loosest_threshold(conn: Connection, model: str) -> int:
    """The highest threshold of the model's open panes: no label at or above it can find its prediction."""
    model_id = names.number(conn, model)
    if model_id is None:
        return _ALL
    query = select(
        func.count(label_panes.c.pane_start), func.count(label_panes.c.below), func.max(label_panes.c.below)
    ).where(label_panes.c.model_id == model_id)
    panes, tightened, below = conn.execute(query).one()
    return _ALL if panes == 0 or tightened < panes else below + _SHIFT


def add_labels(
    conn: Connection,
    model: str,
    *,
    id_hash: ArrayLike,
    time: ArrayLike,
    partition: ArrayLike,
    offset: ArrayLike,
    label: Sequence[float | str | None] | NDArray[Any],
    item: ArrayLike | None = None,
    settled: Micros | None = None,
) -> None:
    """Keep labels until they are joined; lists or arrays of equal length.

    `settled` is the event time up to which every prediction has been read (the lowest data watermark of the model's
    prediction partitions), or None: only labels before it may be thinned at once. Counts labels, waiting, superseded
    and thinned.
    """
    hashes = np.asarray(id_hash, dtype=np.uint64)
    if not len(hashes):
        return
    model_id = names.intern(conn, {model})[model]
    times = np.asarray(time, dtype=np.int64)
    offsets, partitions = np.asarray(offset, dtype=np.int64), np.asarray(partition, dtype=np.int64)
    items = np.zeros(len(hashes), np.int64) if item is None else np.asarray(item, dtype=np.int64)
    bound = loosest_threshold(conn, model) if settled is not None else _ALL
    index = np.arange(len(hashes))
    if settled is not None and bound < _ALL:
        index = np.flatnonzero((hashes < np.uint64(bound)) | (times >= settled))
    _check_lengths(
        {"id_hash": hashes, "time": times, "offset": offsets, "partition": partitions, "item": items, "label": label}
    )
    # Latest first: of the batch's own labels for one id, the one that counts is inserted and the others are not.
    index = index[np.lexsort((-partitions[index], -offsets[index], -times[index], hashes[index]))]
    numbers, texts = _numbers_and_texts(_taken(label, index))
    rows = list(
        zip(
            repeat(model_id),
            _signed(hashes[index]),
            items[index].tolist(),
            times[index].tolist(),
            offsets[index].tolist(),
            partitions[index].tolist(),
            repeat(False),
            numbers,
            texts,
            strict=False,
        )
    )
    added = dialect.insert_many(conn, labels, _LABEL_COLUMNS, rows, conflict="ON CONFLICT DO NOTHING")
    if added < len(rows):
        dialect.insert_many(conn, labels, _LABEL_COLUMNS, rows, conflict=_LATEST_LABEL)
    counts = {
        "labels": len(hashes),
        "waiting": added,
        "superseded": len(rows) - added,
        "thinned": len(hashes) - len(rows),
    }
    books.add(conn, model, counts)


def _of_window(model_id: int, start: Micros, end: Micros) -> ColumnElement[bool]:
    return and_(predictions.c.model_id == model_id, predictions.c.pane_start >= start, predictions.c.pane_start < end)


_SAME_ID = and_(
    labels.c.model_id == predictions.c.model_id,
    labels.c.id_hash == predictions.c.id_hash,
    labels.c.item == predictions.c.item,
)
_FINGERPRINT = func.coalesce(
    func.sum((predictions.c.offset * 31 + labels.c.offset * 17 + labels.c.time // 1000) % 1_000_003), 0
)


def joined(conn: Connection, model: str, start: Micros, end: Micros) -> Joined:
    """The labelled predictions of the panes that begin in [start, end)."""
    model_id = names.number(conn, model)
    if model_id is None:
        return Joined([], [], [], [], [], 0, 0)
    found = coverage(conn, model, start, end)
    query = (
        select(
            predictions.c.version_id,
            predictions.c.segments_id,
            func.coalesce(predictions.c.prediction_text, predictions.c.prediction),
            predictions.c.score,
            func.coalesce(labels.c.label_text, labels.c.label),
        )
        .join(labels, _SAME_ID)
        .where(_of_window(model_id, start, end))
    )
    columns = list(zip(*conn.execute(query).all(), strict=True)) or [()] * 5
    texts = names.texts(conn, {*columns[0], *columns[1]})
    return Joined(
        version=[texts[number] for number in columns[0]],
        prediction=list(columns[2]),
        score=list(columns[3]),
        label=list(columns[4]),
        segments=[texts[number] for number in columns[1]],
        expected=found.predictions,
        fingerprint=found.fingerprint,
    )


def coverage(conn: Connection, model: str, start: Micros, end: Micros) -> Coverage:
    """How many kept predictions of the panes that begin in [start, end) have their label."""
    panes = coverage_by_pane(conn, model, start, end).values()
    return Coverage(
        sum(pane.predictions for pane in panes),
        sum(pane.joined for pane in panes),
        sum(pane.fingerprint for pane in panes),
    )


def coverage_by_pane(conn: Connection, model: str, start: Micros, end: Micros) -> dict[Micros, Coverage]:
    """The coverage of each pane that begins in [start, end): one pass where windows overlap."""
    model_id = names.number(conn, model)
    if model_id is None:
        return {}
    kept = select(label_panes.c.pane_start, label_panes.c.kept).where(
        label_panes.c.model_id == model_id, label_panes.c.pane_start >= start, label_panes.c.pane_start < end
    )
    found = {pane: Coverage(count, 0, 0) for pane, count in conn.execute(kept) if count}
    query = (
        select(predictions.c.pane_start, func.count(), _FINGERPRINT)
        .select_from(predictions)
        .join(labels, _SAME_ID)
        .where(_of_window(model_id, start, end))
        .group_by(predictions.c.pane_start)
    )
    for pane, count, fingerprint in conn.execute(query):
        found[pane] = Coverage(found[pane].predictions, count, int(fingerprint))
    return found


def mark_joined(conn: Connection, model: str, start: Micros, end: Micros) -> int:
    """Count a window's labels as joined, when its evaluation is recorded; each label once."""
    model_id = names.number(conn, model)
    if model_id is None:
        return 0
    used = select(predictions.c.id_hash, predictions.c.item).where(_of_window(model_id, start, end))
    moved = conn.execute(
        update(labels)
        .where(labels.c.model_id == model_id, tuple_(labels.c.id_hash, labels.c.item).in_(used), ~labels.c.joined)
        .values(joined=True)
    ).rowcount
    books.add(conn, model, {"waiting": -moved, "joined": moved})
    return moved


def expire(conn: Connection, model: str, before: Micros) -> None:
    """Delete the predictions of panes that begin before `before`, their labels, and older labels without prediction.

    `before` is the first pane that a window still to be evaluated or revised may need (`due.labels_needed_from`). Of
    the labels, those never joined count as expired; a label without a prediction goes when its own time is before it.
    """
    model_id = names.number(conn, model)
    if model_id is None:
        return
    gone = and_(predictions.c.model_id == model_id, predictions.c.pane_start < before)
    labelled = conn.execute(
        select(func.count(), func.count().filter(~labels.c.joined))
        .select_from(predictions)
        .join(labels, _SAME_ID)
        .where(gone)
    ).one()
    ids = select(predictions.c.id_hash, predictions.c.item).where(gone)
    conn.execute(delete(labels).where(labels.c.model_id == model_id, tuple_(labels.c.id_hash, labels.c.item).in_(ids)))
    left = conn.execute(delete(predictions).where(gone)).rowcount
    conn.execute(delete(label_panes).where(label_panes.c.model_id == model_id, label_panes.c.pane_start < before))
    orphan = ~select(predictions.c.model_id).where(_SAME_ID).correlate(labels).exists()
    alone = and_(labels.c.model_id == model_id, labels.c.time < before, orphan)
    joined_alone = conn.execute(select(func.count()).select_from(labels).where(alone, labels.c.joined)).scalar_one()
    orphans = conn.execute(delete(labels).where(alone)).rowcount
    expired = labelled[1] + orphans - joined_alone
    _keep_from(conn, model, before)
    books.add(
        conn,
        model,
        {
            "awaiting": -left,
            "predictions_labelled": labelled[0],
            "predictions_unlabelled": left - labelled[0],
            "waiting": -expired,
            "expired": expired,
        },
    )


def _keep_from(conn: Connection, model: str, before: Micros) -> None:
    statement = dialect.insert(conn, progress).values(model=model, labels_kept_from=before)
    conn.execute(statement.on_conflict_do_update(index_elements=["model"], set_={"labels_kept_from": before}))
