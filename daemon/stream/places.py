"""Where each flow begins in partitions that this process sees for the first time, held against the log as it is now."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from kafka.structs import TopicPartition

from daemon.config.windows import micros
from daemon.store import gaps, positions
from daemon.store.gaps import Gap
from daemon.store.positions import Position
from daemon.store.store import Store
from daemon.stream.consumer import Consumer
from daemon.stream.flows import Flow
from daemon.stream.partitions import Cursor, PartitionState
from detectors.instants import Micros

log = logging.getLogger("driftd.stream")

MADE_ANEW = "the topic was deleted and created again"
RETENTION = "retention has deleted rows before they were read"


def place(store: Store, kafka: Consumer, flows: Sequence[Flow], fresh: Sequence[PartitionState], now: Micros) -> None:
    """Give every flow its place in fresh partitions of one topic, and write the places down.

    A flow goes on from its stored offset; it begins at the beginning in partitions that were added to a topic which it
    knows, and in a topic made anew under an old name; else where its `start` says.

    Raises:
        FenceLost: someone else has moved a position meanwhile.
        KafkaError: the log's beginning and end are not known.
    """
    topic = fresh[0].at.topic
    identity = (fresh[0].cluster_id, topic, fresh[0].topic_id)
    reading = [flow for flow in flows if topic in flow.topics]
    with store.read() as conn:
        stored = [position for position in positions.load_positions(conn) if position.topic == topic]
        known = {p.partition: p for p in positions.load_partitions(conn, [topic]) if _identity(p) == identity}
        open_gaps = {
            (gap.model, gap.role, gap.partition)
            for model in {flow.model for flow in reading}
            for gap in gaps.gaps(conn, model)
            if gap.topic == topic and gap.event_time_to is None
        }
    own = {(p.model, p.role, p.partition): p for p in stored if _identity(p) == identity}
    others = [position for position in stored if _identity(position) != identity]
    begins = kafka.beginnings([state.at for state in fresh])
    ends = kafka.ends([state.at for state in fresh])
    recorded: list[Gap] = []
    for state in fresh:
        if (partition := known.get(state.at.partition)) is not None:
            state.last_record_time, state.max_event_time = partition.last_record_time, partition.max_event_time
            state.attested_at, state.attested_checkpoint = partition.attested_at, partition.attested_checkpoint
        state.end_offset = ends[state.at]
    for flow in reading:
        has_been_here = any((position.model, position.role) == flow.key for position in stored)
        starts = begins if has_been_here else _starts(kafka, flow, begins, ends, now)
        for state in fresh:
            cursor = Cursor(flow, starts[state.at])
            if (position := own.get((*flow.key, state.at.partition))) is not None:
                cursor.next_offset = position.next_offset
                cursor.max_event_time = position.max_event_time
                cursor.last_record_time = position.last_record_time
                cursor.now_stored()
                cursor.gap_is_open = (*flow.key, state.at.partition) in open_gaps
            state.cursors[flow.key] = cursor
            recorded += fit(state, cursor, begins[state.at], ends[state.at], now)
    recorded += _gaps_of_gone(others, fresh, {flow.key: flow.watermark_delay for flow in flows}, now)
    for state in fresh:
        state.read = min(cursor.next_offset for cursor in state.cursors.values())
    write(store, fresh, recorded, gone={position.cluster_id for position in others})


def _starts(
    kafka: Consumer,
    flow: Flow,
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    now: Micros,
) -> Mapping[TopicPartition, int]:
    """Where a flow begins in a topic that it has never read."""
    if flow.start == "earliest":
        return begins
    if isinstance(flow.start, timedelta):
        found = kafka.offsets_at(list(begins), max(0, (now - micros(flow.start)) // 1_000))
        return {at: ends[at] if offset is None else offset for at, offset in found.items()}
    return ends


def fit(state: PartitionState, cursor: Cursor, begin: int, end: int, now: Micros) -> list[Gap]:
    """Hold a cursor against the log: before its beginning there is a gap, beyond its end there is no way on."""
    if cursor.next_offset < begin:
        start, cursor.next_offset, cursor.held_at = cursor.next_offset, begin, None
        cursor.gap_is_open, cursor.gap_ends = True, None
        log.warning("%s[%d]: offsets %d to %d are gone.", state.at.topic, state.at.partition, start, begin)
        lost = replace(state.position(cursor), next_offset=start)
        return [_gap(lost, begin, cursor.flow.watermark_delay, RETENTION, now)]
    if cursor.next_offset > end:
        state.stopped = (
            f"{state.at.topic}[{state.at.partition}] ends at offset {end}, but everything below "
            f"{cursor.next_offset} was read already: the log has lost rows. Nothing more is read from it; "
            "restore the rows or make the topic anew, then restart driftd."
        )
    return []


def _gaps_of_gone(
    others: Sequence[Position], fresh: Sequence[PartitionState], delays: Mapping[tuple[str, str], Micros], now: Micros
) -> list[Gap]:
    """For each place in a topic of the same name that is no more: what came after it was never read."""
    found = []
    if others:
        log.warning("The topic %s was deleted and created again; it is read from its beginning.", others[0].topic)
    for old in others:
        found.append(_gap(old, old.next_offset, delays.get((old.model, old.role), 0), MADE_ANEW, now))
        for state in fresh:
            cursor = state.cursors.get((old.model, old.role))
            if cursor is not None and state.at.partition == old.partition:
                cursor.gap_is_open = True
    return found


def _gap(last: Position, to_offset: int, watermark_delay: Micros, reason: str, now: Micros) -> Gap:
    """The offsets from a place on that will never be read.

    Rows may be out of order, so what was lost may be earlier than the last row that was read.
    """
    known = last.max_event_time
    return Gap(
        model=last.model,
        role=last.role,
        cluster_id=last.cluster_id,
        topic=last.topic,
        topic_id=last.topic_id,
        partition=last.partition,
        from_offset=last.next_offset,
        to_offset=to_offset,
        event_time_from=None if known is None else known - watermark_delay,
        event_time_to=None,
        reason=reason,
        at=now,
    )


def write(
    store: Store, fresh: Sequence[PartitionState], recorded: Sequence[Gap], *, gone: Collection[str] = ()
) -> None:
    """Write down where every flow begins, so that `latest` means the same after a crash, and the gaps before that.

    `gone` are the ids of clusters with a topic of that name which is no more: its places are forgotten.

    Raises:
        FenceLost: someone else has moved a position meanwhile.
    """
    moves = [
        (state.position(cursor), cursor.stored)
        for state in fresh
        for cursor in state.cursors.values()
        if not cursor.is_stored
    ]
    with store.write() as conn:
        for cluster_id in sorted(gone):
            positions.reset_topic(conn, cluster_id, fresh[0].at.topic, fresh[0].topic_id)
        positions.advance_all(conn, moves)
        positions.save_partitions(conn, [state.record() for state in fresh])
        for gap in recorded:
            gaps.record_gap(conn, gap)
    for state in fresh:
        for cursor in state.cursors.values():
            cursor.now_stored()


def _identity(one: Any) -> tuple[str, str, str]:
    return one.cluster_id, one.topic, one.topic_id
