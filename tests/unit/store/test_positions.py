"""Fences, partitions and gaps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from daemon.store import FenceLost, Store, gaps, positions
from daemon.store.gaps import Gap
from daemon.store.positions import Partition, Position

P0 = Position("flight-delay", "predictions", "cluster", "topic", "id-1", 0, next_offset=100, max_event_time=50)


def test_a_position_begins_and_moves_on(conn: Connection) -> None:
    positions.advance(conn, P0, None)
    later = replace(P0, next_offset=200, max_event_time=60, last_record_time=61)
    positions.advance(conn, later, 100)

    assert positions.load_positions(conn) == [later]
    assert positions.load_positions(conn, "other") == []


@pytest.mark.parametrize("expected", [99, 101, None])
def test_a_move_from_elsewhere_is_lost(conn: Connection, expected: int | None) -> None:
    positions.advance(conn, P0, None)

    with pytest.raises(FenceLost, match=r"the next offset of topic\[0\] is 100, not"):
        positions.advance(conn, replace(P0, next_offset=300), expected)


def test_a_position_that_is_gone_is_lost(conn: Connection) -> None:
    with pytest.raises(FenceLost, match="is None, not 100"):
        positions.advance(conn, P0, 100)


def test_one_lost_fence_rolls_the_whole_checkpoint_back(store: Store) -> None:
    p1 = replace(P0, partition=1)
    with store.write() as conn:
        positions.advance_all(conn, [(p1, None), (P0, None)])

    with pytest.raises(FenceLost), store.write() as conn:
        positions.advance_all(conn, [(replace(P0, next_offset=200), 100), (replace(p1, next_offset=200), 99)])

    with store.read() as conn:
        assert [p.next_offset for p in positions.load_positions(conn)] == [100, 100]


def test_a_recreated_topic_forgets_the_old_one(conn: Connection) -> None:
    positions.advance(conn, P0, None)
    positions.advance(conn, replace(P0, topic="other"), None)
    positions.save_partitions(
        conn, [Partition("cluster", "topic", "id-1", 0), Partition("cluster", "topic", "id-2", 0)]
    )

    assert positions.reset_topic(conn, "cluster", "topic", "id-2") == 1

    assert [p.topic for p in positions.load_positions(conn)] == ["other"]
    assert [p.topic_id for p in positions.load_partitions(conn)] == ["id-2"]


def test_what_is_known_of_a_partition_is_replaced(conn: Connection) -> None:
    known = Partition("cluster", "topic", "id-1", 0, last_record_time=5, max_event_time=4)
    positions.save_partitions(conn, [known])
    later = replace(known, end_offset=7, attested_at=9, attested_checkpoint=2, run_end_offset=7)
    positions.save_partitions(conn, [later])

    assert positions.load_partitions(conn, ["topic"]) == [later]
    assert positions.load_partitions(conn, ["other"]) == []


def test_checkpoints_are_numbered(conn: Connection) -> None:
    assert positions.checkpoint(conn) == 0
    assert [positions.next_checkpoint(conn), positions.next_checkpoint(conn)] == [1, 2]
    assert positions.checkpoint(conn) == 2


@pytest.mark.parametrize(
    ("start", "end", "touched"),
    [(0, 100, False), (0, 101, True), (150, 160, True), (199, 300, True), (200, 300, True), (201, 300, False)],
)
def test_which_windows_a_gap_touches(conn: Connection, start: int, end: int, *, touched: bool) -> None:
    gap = Gap("m", "predictions", "cluster", "topic", "id", 0, 5, 9, 100, None, "retention passed", 1)
    gaps.record_gap(conn, gap)
    assert gaps.gaps(conn, "m", start=10**9) == [gap], "open at its end until a later row is read"

    assert gaps.end_gaps(conn, "m", "predictions", "topic", 0, 200) == 1

    assert bool(gaps.gaps(conn, "m", start, end)) is touched
    assert gaps.gaps(conn, "other") == []
