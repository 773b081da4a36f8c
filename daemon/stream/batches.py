"""Counting one batch: records of one partition become rows, labels and dead letters in the buffer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.store.dead_letters import PAYLOAD_BYTES, DeadLetter
from daemon.stream import event_time
from daemon.stream.buffer import MAX_VERSIONS, OTHER_VERSION, Buffer
from daemon.stream.flows import ActiveSpec, Flow
from daemon.stream.formats import Decoded, Rejection
from daemon.stream.partitions import Cursor, PartitionState
from daemon.stream.sharing import Sharing
from detectors.instants import Micros, rfc3339
from detectors.rows import as_float, hash_ids
from detectors.values import value_text


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a batch whose event times can be believed, in the order of their offsets."""

    place: NDArray[np.int64]
    identity: NDArray[np.uint64]
    ids: Sequence[str]
    items: NDArray[np.int64] | None
    times: NDArray[np.int64]
    offsets: NDArray[np.int64]
    versions: Sequence[Any] | None
    columns: Mapping[str, Sequence[Any]]
    mistyped: Mapping[str, NDArray[np.bool_]]
    messages: Sequence[bytes] | None = None

    def take(self, index: NDArray[Any]) -> _Rows:
        """The rows that an index array picks."""
        places = index.tolist()
        return _Rows(
            place=self.place[index],
            identity=self.identity[index],
            ids=[self.ids[i] for i in places],
            items=None if self.items is None else self.items[index],
            times=self.times[index],
            offsets=self.offsets[index],
            versions=None if self.versions is None else [self.versions[i] for i in places],
            columns={name: [values[i] for i in places] for name, values in self.columns.items()},
            mistyped={name: mask[index] for name, mask in self.mistyped.items()},
            messages=None if self.messages is None else [self.messages[i] for i in places],
        )


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where flows stop reading: the offset and the event time of the first row that lies beyond their barrier."""

    offset: int
    event_time: Micros
    record_time: Micros


_timestamp = attrgetter("timestamp")


class Versions:
    """The versions that each model has shown; those beyond the limit are counted together."""

    def __init__(self, known: Mapping[str, set[str]]) -> None:
        self._known = {model: set(versions) for model, versions in known.items()}

    def name(self, model: str, value: Any) -> str:
        """The version that a row is counted under; empty when it has none."""
        text = "" if value is None else value_text(value)
        known = self._known.setdefault(model, set())
        if text not in known:
            if len(known) >= MAX_VERSIONS:
                return OTHER_VERSION
            known.add(text)
        return text


def count_batch(
    partition: PartitionState, records: Sequence[Any], buffer: Buffer, versions: Versions, now: Micros
) -> None:
    """Put records of one partition into the buffer and move every active flow past them, or up to its barrier.

    Records below a flow's own next offset are not its business any more: another flow had to read them again.
    """
    first, last = records[0].offset, records[-1].offset
    if last - first == len(records) - 1:  # offsets only ever rise
        offsets = np.arange(first, last + 1, dtype=np.int64)
    else:
        offsets = np.array([record.offset for record in records], dtype=np.int64)
    record_times = np.fromiter(map(_timestamp, records), dtype=np.int64, count=len(records)) * 1_000
    reading = partition.reading
    sharing = Sharing(records, (cursor.flow for cursor in reading))
    stops: list[_Stop] = []
    for group in _groups(reading):
        start = int(np.searchsorted(offsets, group[0].next_offset))
        if start == len(records):
            continue
        stop = _count_group(partition, group, records, start, sharing, offsets, record_times, buffer, versions, now)
        if stop is not None:
            stops.append(stop)
    last = int(record_times[-1])
    if stops and not partition.reading:
        # Nobody reads on for now: what lies beyond the last row that was looked at is not known.
        last = max(stop.record_time for stop in stops)
    if last >= 0:
        partition.last_record_time = last
    partition.step_over(int(offsets[-1]) + 1)


def _groups(cursors: Sequence[Cursor]) -> Iterator[list[Cursor]]:
    groups: dict[Any, list[Cursor]] = {}
    for cursor in cursors:
        key = cursor.flow.group, cursor.flow.barrier, cursor.next_offset
        groups.setdefault(key, []).append(cursor)
    yield from groups.values()


def _count_group(
    partition: PartitionState,
    cursors: list[Cursor],
    records: Sequence[Any],
    start: int,
    sharing: Sharing,
    offsets: NDArray[np.int64],
    record_times: NDArray[np.int64],
    buffer: Buffer,
    versions: Versions,
    now: Micros,
) -> _Stop | None:
    flow = cursors[0].flow
    assert flow.decoder is not None
    count = len(records) - start
    own_offsets = offsets[start:]
    if flow.needles or flow.headers:
        mine = sharing.places(flow, start)
        offsets, times, picked = offsets[mine], record_times[mine], [records[place] for place in mine]
    else:
        offsets, times, picked = own_offsets, record_times[start:], list(records[start:])
    if not picked:  # as usual where many models share a topic
        for cursor in cursors:
            buffer.books[cursor.flow.model].update(messages=count, ignored=count)
        return None
    values = [record.value for record in picked]
    decoded = flow.decoder.decode(values)
    collects = any(cursor.flow.closing is not None for cursor in cursors)
    rows, rejected = _believable(flow, decoded, offsets, times, values if collects else None)
    stop = _stop(rows, times, flow.barrier)
    if stop is not None:
        at = int(np.searchsorted(rows.offsets, stop.offset))
        rejected = [rejection for rejection in rejected if rejection.index < rows.place[at]]
        rows = rows.take(np.arange(at))
        count = int(np.searchsorted(own_offsets, stop.offset))
        partition.max_event_time = max(partition.max_event_time or event_time.NEVER, stop.event_time)
    for rejection in rejected:
        for cursor in cursors:
            _bury(buffer, cursor.flow.model, picked[rejection.index], rejection, now)
    if len(rows.ids):
        partition.max_event_time = max(partition.max_event_time or event_time.NEVER, int(rows.times.max()))
    for cursor in cursors:
        books = buffer.books[cursor.flow.model]
        books["messages"] += count
        books["decoded"] += len(rows.ids)
        books["dead_lettered"] += len(rejected)
        books["ignored"] += count - len(rows.ids) - len(rejected)
        if len(rows.ids):
            _count_rows(partition, cursor, rows, decoded, int(times[rows.place[-1]]), buffer, versions)
        if stop is not None:
            _hold(cursor, stop)
    return stop


def _stop(rows: _Rows, record_times: NDArray[np.int64], barrier: Micros | None) -> _Stop | None:
    """The first row that is no earlier than the barrier."""
    if barrier is None:
        return None
    beyond = np.flatnonzero(rows.times >= barrier)
    if not len(beyond):
        return None
    first = beyond[0]
    return _Stop(int(rows.offsets[first]), int(rows.times[first]), int(record_times[rows.place[first]]))


def _hold(cursor: Cursor, stop: _Stop) -> None:
    """The flow goes no further for now; the time of the row that it stands at counts for the watermark."""
    cursor.next_offset, cursor.held_at = stop.offset, stop.event_time
    cursor.max_event_time = max(stop.event_time, cursor.max_event_time or stop.event_time)
    if stop.record_time >= 0:
        cursor.last_record_time = stop.record_time


def _count_rows(
    partition: PartitionState,
    cursor: Cursor,
    rows: _Rows,
    decoded: Decoded,
    last_record_time: Micros,
    buffer: Buffer,
    versions: Versions,
) -> None:
    """Put a batch's rows, of which there is at least one, into the buffer for one flow."""
    if cursor.gap_is_open and cursor.gap_ends is None:
        # What was lost before the first row that is read again may have been later than that row.
        cursor.gap_ends = int(rows.times[0]) + cursor.flow.watermark_delay
    if cursor.flow.role == "labels":
        _add_labels(cursor, rows, partition.at.partition, buffer)
    else:
        buffer.unknown_features.see(cursor.flow.model, decoded.new_fields)
        _add_predictions(cursor, rows, partition, buffer, versions)
    highest = int(rows.times.max())
    cursor.max_event_time = highest if cursor.max_event_time is None else max(cursor.max_event_time, highest)
    cursor.last_record_time = last_record_time if last_record_time >= 0 else cursor.last_record_time


def _believable(
    flow: Flow,
    decoded: Decoded,
    offsets: NDArray[np.int64],
    record_times: NDArray[np.int64],
    values: Sequence[bytes] | None,
) -> tuple[_Rows, list[Rejection]]:
    """The rows whose event time can be believed, with their whole messages where `values` are given, and every message
    that is rejected, in order.
    """
    rejected = list(decoded.rejected)
    at = record_times[decoded.index]
    if decoded.times is None:
        times = np.where(at >= 0, at, event_time.NEVER)
    else:
        times = event_time.read(decoded.times, flow.unit)
    reasons: dict[int, tuple[str, str]] = {}
    items = None if decoded.items is None else _items(decoded.items, reasons)
    rows = _Rows(
        place=decoded.index,
        identity=hash_ids(decoded.ids, None if items is None else items.tolist()),
        ids=decoded.ids,
        items=items,
        times=times,
        offsets=offsets[decoded.index],
        versions=decoded.versions,
        columns=decoded.columns,
        mistyped=decoded.mistyped,
        messages=None if values is None else [values[i] for i in decoded.index.tolist()],
    )
    wrong = event_time.implausible(times, at)
    for i in np.flatnonzero(wrong).tolist():
        reasons[i] = _unbelievable(int(times[i]), int(at[i]), None if decoded.times is None else decoded.times[i])
    if flow.role == "labels":
        bad = decoded.mistyped.get("label")
        for i, label in enumerate(decoded.columns["label"]):
            if label is None and i not in reasons:
                typed = bad is None or not bad[i]
                reasons[i] = (
                    ("no label", "There is no label.")
                    if typed
                    else (
                        "wrong type of label",
                        "The label is an object or a list; a number, a text or true and false are wanted.",
                    )
                )
    if reasons:
        rejected += [Rejection(int(decoded.index[i]), *reason) for i, reason in reasons.items()]
        rejected.sort(key=lambda rejection: rejection.index)
        keep = np.ones(len(times), dtype=bool)
        keep[list(reasons)] = False
        rows = rows.take(np.flatnonzero(keep))
    return rows, rejected


def _items(values: Sequence[int | None], reasons: dict[int, tuple[str, str]]) -> NDArray[np.int64]:
    """The items, 0 where there is none; one that the store has no room for is a reason to reject its message."""
    items = [0 if value is None else value for value in values]
    try:
        return np.array(items, dtype=np.int64)
    except OverflowError:
        for i, item in enumerate(items):
            if not -(2**63) <= item < 2**63:
                items[i] = 0
                reasons[i] = ("item out of range", "The item is no integer of 64 bits.")
        return np.array(items, dtype=np.int64)


def _unbelievable(time: Micros, record_time: Micros, value: Any) -> tuple[str, str]:
    if time == event_time.NEVER:
        if value is None:
            return "no timestamp", "Neither the message nor Kafka has a timestamp."
        return "unreadable timestamp", f"{value!r:.80} is no timestamp of the configured unit."
    if time < event_time.EARLIEST:
        return "event time before 2000", f"{value!r:.80} lies before 2000: is predictions.timestamp_unit right?"
    return (
        "event time in the future",
        f"{value!r:.80} lies more than 5 minutes after Kafka's own {rfc3339(record_time)}.",
    )


def _bury(buffer: Buffer, model: str, record: Any, rejection: Rejection, now: Micros) -> None:
    buffer.add_dead_letter(
        DeadLetter(
            model=model,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            offset_end=record.offset + 1,
            reason=rejection.reason,
            detail=rejection.detail,
            payload=record.value[:PAYLOAD_BYTES],  # a whole batch can be of the largest size
            payload_bytes=len(record.value),
            at=now,
        )
    )


def _add_labels(cursor: Cursor, rows: _Rows, partition: int, buffer: Buffer) -> None:
    item: NDArray[np.int64] | None = None
    labels: list[float | str]
    if cursor.flow.settings.several_labels:
        # Each item that was taken is a label of its own; the same one twice is one.
        texts = [value_text(value) for value in rows.columns["label"]]
        labels, item = [*texts], hash_ids(texts).view(np.int64)
    else:
        labels = [
            value if value.__class__ is float else as_float(value) if value.__class__ is int else value_text(value)
            for value in rows.columns["label"]
        ]
    buffer.add_labels(
        cursor.flow.model,
        identity=rows.identity,
        time=rows.times,
        partition=partition,
        offset=rows.offsets,
        label=labels,
        item=item,
    )


def _add_predictions(
    cursor: Cursor, rows: _Rows, partition: PartitionState, buffer: Buffer, versions: Versions
) -> None:
    flow = cursor.flow
    late = flow.late(rows.times, cursor.max_event_time)
    dropped = int(np.count_nonzero(late))
    books = buffer.books[flow.model]
    books["predictions"] += len(late)
    books["late_dropped"] += dropped
    books["profiled"] += len(late) - dropped
    if dropped:
        if dropped == len(late):
            return
        rows = rows.take(np.flatnonzero(~late))
    for version, own in _by_version(flow.model, rows, versions):
        for spec, part in _by_spec(flow.specs_for(version), own):
            assert flow.decoder is not None
            table = buffer.table(
                flow.model,
                partition.at.topic,
                spec.spec,
                keeps_predictions=flow.keeps_predictions,
                message=flow.decoder.message,
            )
            cut = table.add(
                identity=part.identity,
                ids=part.ids,
                event_time=part.times,
                partition=partition.at.partition,
                offset=part.offsets,
                version=version,
                columns=part.columns,
                mistyped=part.mistyped,
                items=part.items,
                messages=part.messages,
            )
            if cut:
                books["predictions_cut"] += cut


def _by_version(model: str, rows: _Rows, versions: Versions) -> Iterator[tuple[str, _Rows]]:
    values = rows.versions
    if values is None or values.count(values[0]) == len(values):
        yield versions.name(model, None if values is None else values[0]), rows
        return
    places: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(versions.name(model, value), []).append(place)
    for version, index in places.items():
        yield version, rows.take(np.array(index)) if len(places) > 1 else rows


def _by_spec(specs: Sequence[ActiveSpec], rows: _Rows) -> Iterator[tuple[ActiveSpec, _Rows]]:
    if len(specs) == 1:
        yield specs[0], rows
        return
    # Rows before the first spec's pane are counted by it too: nothing else ever will.
    borders = np.array([spec.from_pane for spec in specs[1:]], dtype=np.int64)
    which = np.searchsorted(borders, rows.times, side="right")
    for number in np.unique(which).tolist():
        yield specs[number], rows.take(np.flatnonzero(which == number))
