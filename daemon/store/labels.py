"""Labels, and their join with the predictions that wait for them.

The join happens at evaluation, in the database, never on arrival. Of several labels with one id the one of the latest
time counts, then of the highest offset, whatever the order of reading.

Where an id may have several labels (items taken from one list that was shown) each is kept under an `item` of its own,
and `several` joins all of them with the one prediction.

A label does not know its prediction's pane, so it obeys the loosest threshold of all panes still open, and only once
every prediction that it could belong to has been read.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, tuple_, update

from daemon.store import books, dialect, names
from daemon.store.columns import HASHES, SHIFT, check_lengths, numbers_and_texts, signed, taken
from daemon.store.predictions import loosest_threshold
from daemon.store.schema import label_panes, labels, predictions, progress
from detectors.instants import Micros

_LABEL_COLUMNS = ("model_id", "id_hash", "item", "time", "offset", "partition", "joined", "label", "label_text")
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

    `segments` is JSON text. `expected` counts the window's kept predictions, labelled or not, `labelled` those that
    have a label. `fingerprint` changes when a label or prediction is replaced by another while the number of rows
    stays.
    """

    version: list[str]
    prediction: list[float | str | None]
    score: list[float | None]
    label: list[float | str | None]
    segments: list[str]
    expected: int
    labelled: int
    fingerprint: int

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of a window's kept predictions have their label."""

    predictions: int
    joined: int
    fingerprint: int


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
    bound = loosest_threshold(conn, model) if settled is not None else HASHES
    index = np.arange(len(hashes))
    if settled is not None and bound < HASHES:
        index = np.flatnonzero((hashes < np.uint64(bound)) | (times >= settled))
    check_lengths(
        {"id_hash": hashes, "time": times, "offset": offsets, "partition": partitions, "item": items, "label": label}
    )
    # Latest first: of the batch's own labels for one id, the one that counts is inserted and the others are not.
    index = index[np.lexsort((-partitions[index], -offsets[index], -times[index], hashes[index]))]
    numbers, texts = numbers_and_texts(taken(label, index))
    rows = list(
        zip(
            repeat(model_id),
            signed(hashes[index]),
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


_ANY_OF_ID = and_(labels.c.model_id == predictions.c.model_id, labels.c.id_hash == predictions.c.id_hash)
_SAME_ID = and_(_ANY_OF_ID, labels.c.item == predictions.c.item)
_FINGERPRINT = func.coalesce(
    func.sum((predictions.c.offset * 31 + labels.c.offset * 17 + labels.c.time // 1000) % 1_000_003), 0
)


def joined(conn: Connection, model: str, start: Micros, end: Micros) -> Joined:
    """The labelled predictions of the panes that begin in [start, end)."""
    model_id = names.number(conn, model)
    if model_id is None:
        return Joined([], [], [], [], [], 0, 0, 0)
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
        labelled=found.joined,
        fingerprint=found.fingerprint,
    )


def joined_several(conn: Connection, model: str, start: Micros, end: Micros) -> Joined:
    """Every prediction of the panes that begin in [start, end), with the JSON list of its labels, `[]` for none."""
    model_id = names.number(conn, model)
    if model_id is None:
        return Joined([], [], [], [], [], 0, 0, 0)
    found = coverage(conn, model, start, end, several=True)
    query = select(
        predictions.c.id_hash, predictions.c.version_id, predictions.c.segments_id, predictions.c.prediction_text
    ).where(_of_window(model_id, start, end))
    columns = list(zip(*conn.execute(query).all(), strict=True)) or [()] * 4
    taken_by_id: defaultdict[int, list[str]] = defaultdict(list)
    pairs = (
        select(predictions.c.id_hash, labels.c.label_text)
        .join(labels, _ANY_OF_ID)
        .where(_of_window(model_id, start, end), labels.c.label_text.is_not(None))
        .order_by(predictions.c.id_hash, labels.c.item)
    )
    for id_hash, text in conn.execute(pairs):
        taken_by_id[id_hash].append(text)
    texts = names.texts(conn, {*columns[1], *columns[2]})
    return Joined(
        version=[texts[number] for number in columns[1]],
        prediction=list(columns[3]),
        score=[None] * len(columns[0]),
        label=[json.dumps(taken_by_id[id_hash]) if id_hash in taken_by_id else "[]" for id_hash in columns[0]],
        segments=[texts[number] for number in columns[2]],
        expected=found.predictions,
        labelled=found.joined,
        fingerprint=found.fingerprint,
    )


def coverage(conn: Connection, model: str, start: Micros, end: Micros, *, several: bool = False) -> Coverage:
    """How many kept predictions of the panes that begin in [start, end) have their label, or one of several."""
    panes = coverage_by_pane(conn, model, start, end, several=several).values()
    return Coverage(
        sum(pane.predictions for pane in panes),
        sum(pane.joined for pane in panes),
        sum(pane.fingerprint for pane in panes),
    )


def coverage_by_pane(
    conn: Connection, model: str, start: Micros, end: Micros, *, several: bool = False
) -> dict[Micros, Coverage]:
    """The coverage of each pane that begins in [start, end): one pass where windows overlap."""
    model_id = names.number(conn, model)
    if model_id is None:
        return {}
    kept = select(label_panes.c.pane_start, label_panes.c.kept).where(
        label_panes.c.model_id == model_id, label_panes.c.pane_start >= start, label_panes.c.pane_start < end
    )
    found = {pane: Coverage(count, 0, 0) for pane, count in conn.execute(kept) if count}
    query = (
        select(
            predictions.c.pane_start,
            func.count(predictions.c.id_hash.distinct()) if several else func.count(),
            _FINGERPRINT,
        )
        .select_from(predictions)
        .join(labels, _ANY_OF_ID if several else _SAME_ID)
        .where(_of_window(model_id, start, end))
        .group_by(predictions.c.pane_start)
    )
    for pane, count, fingerprint in conn.execute(query):
        found[pane] = Coverage(found[pane].predictions, count, int(fingerprint))
    return found


def of_ids(conn: Connection, model: str, id_hashes: Sequence[int]) -> dict[int, list[float | str | None]]:
    """The labels of each of these ids, unsigned hashes, that has any; in order of their items."""
    model_id = names.number(conn, model)
    found: defaultdict[int, list[float | str | None]] = defaultdict(list)
    value = func.coalesce(labels.c.label_text, labels.c.label)
    for i in range(0, len(id_hashes) if model_id is not None else 0, 500):
        wanted = [one - SHIFT for one in id_hashes[i : i + 500]]
        query = select(labels.c.id_hash, value).where(labels.c.model_id == model_id, labels.c.id_hash.in_(wanted))
        for id_hash, label in conn.execute(query.order_by(labels.c.id_hash, labels.c.item)):
            found[id_hash + SHIFT].append(label)
    return dict(found)


def mark_joined(conn: Connection, model: str, start: Micros, end: Micros, *, several: bool = False) -> int:
    """Count a window's labels as joined, when its evaluation is recorded; each label once."""
    model_id = names.number(conn, model)
    if model_id is None:
        return 0
    used = _labels_of(_of_window(model_id, start, end), several=several)
    moved = conn.execute(
        update(labels).where(labels.c.model_id == model_id, used, ~labels.c.joined).values(joined=True)
    ).rowcount
    books.add(conn, model, {"waiting": -moved, "joined": moved})
    return moved


def _labels_of(which: ColumnElement[bool], *, several: bool) -> ColumnElement[bool]:
    """The labels of the predictions that `which` picks, as a condition on labels."""
    if several:
        return labels.c.id_hash.in_(select(predictions.c.id_hash).where(which))
    return tuple_(labels.c.id_hash, labels.c.item).in_(select(predictions.c.id_hash, predictions.c.item).where(which))


def expire(conn: Connection, model: str, before: Micros, *, several: bool = False) -> None:
    """Delete the predictions of panes that begin before `before`, their labels, and older labels without prediction.

    `before` is the first pane that a window still to be evaluated or revised may need (`due.labels_needed_from`). Of
    the labels, those never joined count as expired; a label without a prediction goes when its own time is before it.
    """
    model_id = names.number(conn, model)
    if model_id is None:
        return
    gone = and_(predictions.c.model_id == model_id, predictions.c.pane_start < before)
    same = _ANY_OF_ID if several else _SAME_ID
    labelled = conn.execute(
        select(
            func.count(predictions.c.id_hash.distinct()) if several else func.count(),
            func.count().filter(~labels.c.joined),
        )
        .select_from(predictions)
        .join(labels, same)
        .where(gone)
    ).one()
    conn.execute(delete(labels).where(labels.c.model_id == model_id, _labels_of(gone, several=several)))
    left = conn.execute(delete(predictions).where(gone)).rowcount
    conn.execute(delete(label_panes).where(label_panes.c.model_id == model_id, label_panes.c.pane_start < before))
    orphan = ~select(predictions.c.model_id).where(same).correlate(labels).exists()
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
