"""The checkpoint: everything that was counted and how far each flow has come, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon import crashpoints
from daemon.store import books, dead_letters, gaps, labels, panes, positions, predictions, specs
from daemon.store.collecting import decide
from daemon.store.positions import Position
from daemon.store.specs import Activation
from daemon.store.store import Store
from daemon.stream.buffer import Buffer, Group, Table, TableKey
from daemon.stream.collection import Reading
from daemon.stream.errors import SpecsChanged
from daemon.stream.partitions import PartitionState
from daemon.stream.segments import segment_texts
from detectors.collected import CollectedRows
from detectors.instants import Micros
from detectors.profile import Profile
from detectors.rows import Rows, as_float
from detectors.sample import Sample

Watermark = Callable[[Any, str], Micros | None]
"""The effective watermark of a model, asked within the checkpoint's transaction."""


def no_watermark(_: Any, __: str) -> None:
    """Nothing is known of any model's watermark."""


@dataclass(frozen=True, slots=True)
class _Partial:
    """A partial as the store takes it."""

    model: str
    version: str
    pane: Micros
    spec_hash: str
    rows: int
    profile: bytes
    sample: bytes
    kth_hash: int | None
    min_event_time: Micros
    max_event_time: Micros


@dataclass(frozen=True, slots=True)
class _Predictions:
    """The predictions of one group that wait for their labels."""

    model: str
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class Prepared:
    """What takes time to make, made before the transaction so that other writers do not wait for it."""

    partials: list[_Partial] = field(default_factory=list)
    predictions: list[_Predictions] = field(default_factory=list)


def prepare(store: Store, buffer: Buffer) -> Prepared:
    """Make partials, samples and waiting predictions of the buffered rows.

    Raises:
        StoreUnavailable: the panes' thresholds cannot be read.
    """
    prepared = Prepared()
    with store.read() as conn:
        for key, table in buffer.tables.items():
            for group in table.groups():
                below = panes.sample_threshold(conn, key.model, group.version, group.pane, key.spec_hash)
                prepared.partials.append(_partial(key, table, group, below))
                if table.keeps_predictions:
                    prepared.predictions.append(_predictions(key, table, group))
    return prepared


def _partial(key: TableKey, table: Table, group: Group, below: int | None) -> _Partial:
    layout, rows = table.spec.layout, group.rows
    sample: Sample | CollectedRows
    if group.messages is None:
        profile = Profile.of(layout, rows, table.encoder).to_bytes()
        sample = Sample.of(layout, rows, table.encoder, below=below)
    else:
        profile = b""
        sample = _collected(table, rows, group.messages, below)
    return _Partial(
        model=key.model,
        version=group.version,
        pane=group.pane,
        spec_hash=key.spec_hash,
        rows=len(rows),
        profile=profile,
        sample=sample.to_bytes(),
        kth_hash=sample.kth_hash,
        min_event_time=int(rows.event_time.min()),
        max_event_time=int(rows.event_time.max()),
    )


def _collected(table: Table, rows: Rows, messages: Sequence[bytes], below: int | None) -> CollectedRows:
    reading, message = Reading(table.spec.fields), table.message
    assert message is not None
    return CollectedRows.of(rows, lambda place: reading(message(messages[place])), below=below)


def _predictions(key: TableKey, table: Table, group: Group) -> _Predictions:
    rows = group.rows
    columns = {column.name for column in table.spec.layout.columns}
    predicted: Sequence[Any] | NDArray[Any] = (
        rows.values["prediction"] if group.predictions is None else [_plain(value) for value in group.predictions]
    )
    return _Predictions(
        key.model,
        {
            "id_hash": group.identity,
            "event_time": rows.event_time,
            "partition": rows.partition,
            "offset": rows.offset,
            "version": [group.version] * len(rows),
            "prediction": predicted,
            "score": rows.values["score"] if "score" in columns else None,
            "segments": segment_texts(table.spec.layout, rows),
            "item": group.items,
            "pane": table.spec.pane,
        },
    )


def _plain(value: Any) -> float | str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return as_float(value) if isinstance(value, int) else value


def write(
    store: Store,
    buffer: Buffer,
    prepared: Prepared,
    partitions: Sequence[PartitionState],
    *,
    activations: Sequence[Activation],
    attested: frozenset[Any],
    now: Micros,
    watermark: Watermark = no_watermark,
    collecting: Collection[str] = (),
) -> int:
    """Write everything in one transaction and return the checkpoint's number; the caller then empties the buffer.

    `watermark` is asked for the effective watermarks of the models in `collecting`, whose reference is not complete:
    they decide which windows are part of it.

    Raises:
        FenceLost: a position was moved by someone else. Nothing was written.
        SpecsChanged: the rows were counted by specs that are not, or not alone, in force any more. Nothing was written.
        StoreUnavailable: try again. Nothing was written.
    """
    crashpoints.reach("checkpoint.before_transaction")
    with store.write() as conn:
        # A model that still waits for its first spec has no rows here that another spec could concern.
        counted = {activation.model for activation in activations}
        if [activation for activation in specs.active(conn) if activation.model in counted] != list(activations):
            raise SpecsChanged("Another spec came into force.")
        number = positions.next_checkpoint(conn)
        positions.advance_all(conn, _moves(partitions))
        for partial in prepared.partials:
            panes.add_partial(
                conn,
                partial.model,
                partial.version,
                partial.pane,
                partial.spec_hash,
                rows=partial.rows,
                profile=partial.profile,
                sample=partial.sample,
                kth_hash=partial.kth_hash,
                min_event_time=partial.min_event_time,
                max_event_time=partial.max_event_time,
                now=now,
            )
        crashpoints.reach("checkpoint.inside_transaction")
        for waiting in prepared.predictions:
            predictions.add_predictions(conn, waiting.model, **waiting.arguments)
        for model, rows in buffer.labels.items():
            labels.add_labels(
                conn,
                model,
                id_hash=np.concatenate(rows.identity),
                time=np.concatenate(rows.time),
                partition=np.concatenate(rows.partition),
                offset=np.concatenate(rows.offset),
                label=rows.label,
                item=np.concatenate(rows.item),
                settled=_settled(model, partitions),
            )
        dead_letters.add(conn, buffer.dead_letters)
        for model, counts in buffer.books.items():
            books.add(conn, model, counts)
        buffer.unknown_features.write(conn, now)
        for partition in partitions:
            _end_gaps(conn, partition)
            if partition.at in attested:
                partition.attested_at, partition.attested_checkpoint = now, number
        positions.save_partitions(conn, [partition.record() for partition in partitions])
        for model in collecting:
            decide(conn, model, watermark(conn, model))
    crashpoints.reach("checkpoint.after_transaction")
    buffer.unknown_features.written()
    for partition in partitions:
        for cursor in partition.cursors.values():
            cursor.now_stored()
            if cursor.gap_ends is not None:
                cursor.gap_is_open, cursor.gap_ends = False, None
    return number


def _moves(partitions: Sequence[PartitionState]) -> list[tuple[Position, int | None]]:
    return [
        (partition.position(cursor), cursor.stored)
        for partition in partitions
        for cursor in partition.cursors.values()
        if not cursor.is_stored
    ]


def _settled(model: str, partitions: Sequence[PartitionState]) -> Micros | None:
    """The event time up to which every prediction of a model has been read; None while a partition has none."""
    own = [p.cursors[model, "predictions"] for p in partitions if (model, "predictions") in p.cursors]
    marks = [cursor.data_watermark for cursor in own]
    known = [mark for mark in marks if mark is not None]
    return min(known) if known and len(known) == len(marks) else None


def _end_gaps(conn: Any, partition: PartitionState) -> None:
    for (model, role), cursor in partition.cursors.items():
        if cursor.gap_ends is not None:
            gaps.end_gaps(conn, model, role, partition.at.topic, partition.at.partition, cursor.gap_ends)
