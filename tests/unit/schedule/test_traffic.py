"""A timeline by wall clock: what is read when, and what must be told of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.deliver.sentences import story
from daemon.incidents.incident import State
from daemon.schedule.traffic import Traffic
from daemon.schedule.workers import WorkerPool
from daemon.store import books, gaps, status
from daemon.store.gaps import Gap
from detectors.instants import DAY, HOUR, MINUTE
from tests.unit.schedule.world import MODEL, START, TOPIC, World, orders, world


@pytest.fixture
def new(tmp_path: Path, pool: WorkerPool) -> Iterator[World]:
    """A world by wall clock in which silences of half an hour are too long, and there was no row yet."""
    alerts = {"no_predictions": {"after": "30m"}}
    changes: dict[str, Any] = {"labels": None, "task": "none", "installation": {"clock": "wall"}, "alerts": alerts}
    with world(tmp_path, pool, changes) as made:
        yield made


@pytest.fixture
def made(new: World) -> World:
    """The same with a day of rows."""
    new.wall = START + DAY
    new.predict(orders(0, 1, seed=5))
    return new


@pytest.fixture
def traffic(made: World) -> Traffic:
    return Traffic(made.settings, made.store, made.recorder, lambda: made.wall)


def told(made: World, kind: str) -> list[tuple[str, float | None]]:
    return [(row.verdict, row.value) for row in made.results() if row.kind == kind]


def pass_time(made: World, length: int, *, waiting: int = 0) -> None:
    """Lets time go by in which nothing was read and Kafka said how much waits."""
    made.wall += length
    made.read_on("predictions", 0, 0, waiting=waiting)


def test_a_dead_producer_is_told_once_and_once_that_it_is_back(made: World, traffic: Traffic) -> None:
    pass_time(made, 29 * MINUTE)
    assert traffic.look() == 0
    pass_time(made, 2 * MINUTE)
    assert traffic.look() == 1
    pass_time(made, HOUR)
    assert traffic.look() == 0
    with made.store.read() as conn:
        (incident,) = made.recorder.board(conn, MODEL).open_incidents
    assert incident.family == "data"
    made.predict(orders(1, 1, seed=6)[:1])
    assert traffic.look() == 1
    with made.store.read() as conn:
        (incident,) = made.recorder.board(conn, MODEL).incidents
    assert incident.state is State.RESOLVED
    assert told(made, "silence") == [("violated", 31 * 60), ("ok", 0)]


def test_nothing_is_said_of_the_producer_while_messages_wait(made: World, traffic: Traffic) -> None:
    pass_time(made, 9 * MINUTE, waiting=5)
    assert traffic.look() == 0
    assert told(made, "silence") == []


def test_nothing_is_said_of_the_producer_while_kafka_has_not_answered(made: World, traffic: Traffic) -> None:
    made.wall += 2 * HOUR
    assert traffic.look() == 0


def test_a_partition_that_stands_still_and_the_lag_are_two_lines_of_one_incident(made: World, traffic: Traffic) -> None:
    traffic.look()
    pass_time(made, 5 * MINUTE, waiting=5)
    traffic.look()
    pass_time(made, 6 * MINUTE, waiting=9)
    traffic.look()
    assert told(made, "stalled") == [("violated", 1)]
    made.wall += HOUR
    made.read_on("predictions", 0, 0, waiting=9)
    traffic.look()
    assert [verdict for verdict, _ in told(made, "lagging")] == ["violated"]
    with made.store.read() as conn:
        (incident,) = made.recorder.board(conn, MODEL).open_incidents
    assert {line.key.signal.value for line in incident.lines} == {"stalled", "lagging"}
    made.read_on("predictions", 9, made.wall)
    traffic.look()
    with made.store.read() as conn:
        assert made.recorder.board(conn, MODEL).open_incidents == ()


def test_a_model_that_never_gets_a_row_is_told_with_the_reason(new: World) -> None:
    # Given a topic of which every message is another model's
    traffic = Traffic(new.settings, new.store, new.recorder, lambda: new.wall)
    with new.store.write() as conn:
        books.add(conn, MODEL, {"messages": 70, "ignored": 70})
    new.ignore(70)
    # When half an hour has passed since reading began
    pass_time(new, 30 * MINUTE)
    assert traffic.look() == 0
    pass_time(new, MINUTE)
    assert traffic.look() == 1
    # Then
    with new.store.read() as conn:
        (incident,) = new.recorder.board(conn, MODEL).open_incidents
    told_of = story(incident)
    assert told_of.title == "no predictions for 31 min"
    assert told_of.changed[0].startswith("None of the 70 messages read so far is a prediction of it: 70 ignored")
    assert told_of.since == "No row since reading began on 1 Mar 00:00:00 UTC"
    # and it is over with the first row
    new.wall += MINUTE
    new.predict(orders(0, 1, seed=6)[:1])
    assert traffic.look() == 1
    with new.store.read() as conn:
        assert new.recorder.board(conn, MODEL).open_incidents == ()


def test_a_topic_that_is_not_there_is_told_when_kafka_answers(new: World) -> None:
    traffic = Traffic(new.settings, new.store, new.recorder, lambda: new.wall)
    new.wall += DAY
    # A daemon that starts a day later has to ask first.
    assert traffic.look() == 0
    with new.store.write() as conn:
        status.set_note(conn, "stream.kafka", "Kafka does not answer", new.wall)
    new.wall += 2 * MINUTE
    assert traffic.look() == 0
    with new.store.write() as conn:
        status.clear_note(conn, "stream.kafka")
    assert traffic.look() == 1
    (row,) = new.results()
    assert row.detail is not None
    assert row.detail.endswith(f"the topic {TOPIC} has not been found in Kafka; check predictions.topic")


def test_a_model_that_waits_for_its_reference_neither_lags_nor_stands_still(made: World, traffic: Traffic) -> None:
    with made.store.write() as conn:
        status.set_model_state(conn, MODEL, "waiting", "the reference cannot be used", made.wall)
    for _ in range(4):
        pass_time(made, 10 * MINUTE, waiting=500)
        assert traffic.look() == 0
    # Once it runs it has a while to read what came meanwhile.
    with made.store.write() as conn:
        status.set_model_state(conn, MODEL, "running", "", made.wall)
    traffic.look()
    pass_time(made, 9 * MINUTE, waiting=500)
    assert traffic.look() == 0
    pass_time(made, 2 * MINUTE, waiting=500)
    assert traffic.look() == 1
    assert told(made, "stalled") == [("violated", 1)]


def test_a_daemon_that_was_down_for_hours_does_not_lag_while_it_catches_up(made: World) -> None:
    made.wall += 3 * HOUR
    made.read_on("predictions", 0, 0, waiting=9_000)
    traffic = Traffic(made.settings, made.store, made.recorder, lambda: made.wall)
    for left in range(8_700, 0, -300):
        made.wall += MINUTE
        made.read_on("predictions", 300, START + DAY, waiting=left)
        assert traffic.look() == 0
    assert told(made, "lagging") == told(made, "stalled") == []


def test_lost_offsets_are_told_and_are_over_a_window_later(made: World, traffic: Traffic) -> None:
    with made.store.write() as conn:
        place = (MODEL, "predictions", "cluster", TOPIC, "topic-id", 0)
        gaps.record_gap(conn, Gap(*place, 10, 25, None, None, "retention passed them", made.wall))
    assert traffic.look() == 1
    (row,) = [row for row in made.results() if row.kind == "lost"]
    assert (row.signal, row.verdict, row.value) == ("data_quality", "violated", 15)
    assert row.detail == f"{TOPIC}[0] 10 to 25: retention passed them"
    assert traffic.look() == 0
    pass_time(made, DAY + MINUTE)
    traffic.look()
    assert told(made, "lost") == [("violated", 15), ("ok", 0)]
