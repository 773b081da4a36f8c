"""Intake against a real broker: each row counted once, whatever the topic does."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import LeaderNotAvailableError, TopicAlreadyExistsError
from kafka.structs import TopicPartition

from daemon.store import dead_letters, gaps, labels, panes, positions, status
from daemon.store.store import Store
from daemon.stream.consumer import Consumer
from daemon.stream.errors import TopicsMissing
from detectors.instants import DAY, HOUR, MINUTE, SECOND
from tests.conftest import Broker, MakeTopic
from tests.unit.stream.world import (
    HURRY,
    PATIENCE,
    START,
    book,
    counted,
    label,
    message,
    put_in_force,
    run_to_end,
    running,
    sampled_ids,
    settings,
    spec,
    until,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A fresh store."""
    with Store.open(tmp_path / "store.db", writer=True) as opened:
        yield opened


def send(
    kafka: Broker,
    topic: str,
    values: Iterable[bytes | None],
    *,
    partitions: int = 1,
    stamp: int | None = None,
) -> None:
    """Put messages on a topic, one partition after the other in turn."""
    with contextlib.closing(KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", linger_ms=5)) as producer:
        for number, value in enumerate(values):
            producer.send(topic, value, partition=number % partitions, timestamp_ms=stamp)
        producer.flush()


def earliest(topic: str, **more: Any) -> dict[str, dict[str, Any]]:
    """One model that reads a topic from its beginning."""
    return {"m": {"predictions": {"topic": [topic], "start": "earliest"}, **more}}


def ids(numbers: Iterable[int]) -> list[str]:
    return sorted(f"id-{number}" for number in numbers)


def test_every_row_is_counted_in_its_pane(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    name = topic(3)
    send(kafka, name, map(message, range(1000)), partitions=3)
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    run_to_end(of, store)
    expected = Counter(("7", START + number * 10 * SECOND // HOUR * HOUR) for number in range(1000))
    assert counted(store, one) == expected
    assert sampled_ids(store, one) == ids(range(1000))
    assert book(store) == {"messages": 1000, "decoded": 1000, "predictions": 1000, "profiled": 1000}
    # and a second run has nothing to add
    run_to_end(of, store)
    assert counted(store, one) == expected


def test_what_cannot_be_counted_is_a_dead_letter_and_the_rest_counts(
    kafka: Broker, topic: MakeTopic, store: Store
) -> None:
    name = topic()
    bad = [
        (b"nonsense", "not JSON"),
        (message(1, id=None), "no id"),
        (message(2, id=[1]), "wrong type of id"),
        (message(3, at=START - 20_000 * DAY), "event time before 2000"),
        (message(4, at=START + 400_000 * DAY), "event time in the future"),
        (message(5, ts="yesterday"), "unreadable timestamp"),
        (message(6).replace(b"1.5", b"NaN"), "NaN literal"),
    ]
    send(kafka, name, [message(0), *(value for value, _ in bad), message(9)])
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    run_to_end(of, store)
    assert sampled_ids(store, one) == ["id-0", "id-9"]
    with store.read() as conn:
        letters = dead_letters.load(conn)[::-1]
    assert [(letter.offset, letter.reason, letter.payload) for letter in letters] == [
        (offset, reason, value) for offset, (value, reason) in enumerate(bad, 1)
    ]
    assert book(store)["dead_lettered"] == len(bad)
    assert counted(store, one)


def test_rows_too_late_for_every_window_are_dropped_and_counted_as_such(
    kafka: Broker, topic: MakeTopic, store: Store
) -> None:
    # Given windows of 1 h, delay 10 min, lateness 1 h: a pane is closed once the highest event time is its start + 2:10
    name = topic()
    times = [START, START + HOUR, START + 2 * HOUR + 9 * MINUTE, START + 5 * MINUTE, START + 2 * HOUR + 10 * MINUTE]
    times += [START + 6 * MINUTE, START + HOUR + MINUTE, START + 20 * HOUR, START + 7 * MINUTE]
    send(kafka, name, [message(number, at=at) for number, at in enumerate(times)])
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    run_to_end(of, store)
    assert sampled_ids(store, one) == ids([0, 1, 2, 3, 4, 6, 7])
    counted(store, one)
    assert book(store)["late_dropped"] == 2


def test_a_model_waits_for_its_spec_while_another_goes_on(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    name = topic()
    send(kafka, name, (message(i, model="a" if i % 2 else "b") for i in range(200)))
    models = {
        who: {"predictions": {"topic": [name], "start": "earliest", "where": {"model": who}}} for who in ("a", "b")
    }
    of = settings(store.path, kafka.bootstrap, models)
    first, second = spec(of, "a"), spec(of, "b")
    put_in_force(store, first)
    with running(of, store):
        until(lambda: book(store, "a").get("profiled") == 100, "the first model's rows")
        assert book(store, "b") == {}
        send(kafka, name, (message(i, model="a" if i % 2 else "b") for i in range(200, 300)))
        until(lambda: book(store, "a").get("profiled") == 150, "the first model's later rows")
        put_in_force(store, second)
        until(lambda: book(store, "b").get("profiled") == 150, "the second model's rows")
    assert sampled_ids(store, first, "a") == ids(range(1, 300, 2))
    assert sampled_ids(store, second, "b") == ids(range(0, 300, 2))
    assert book(store, "a") == book(store, "b")
    assert book(store, "a")["ignored"] == 150
    counted(store, first, "a")


def test_a_shared_topic_is_told_apart_by_header(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    name = topic()
    with contextlib.closing(KafkaProducer(bootstrap_servers=kafka.bootstrap)) as producer:
        for number in range(20):
            producer.send(name, message(number), headers=[("model", b"a" if number % 4 else b"b")])
        producer.send(name, b"nonsense", headers=[("model", b"b")])
    models = {
        who: {"predictions": {"topic": [name], "start": "earliest", "where": {"header:model": who}}}
        for who in ("a", "b")
    }
    of = settings(store.path, kafka.bootstrap, models)
    for who in models:
        put_in_force(store, spec(of, who))
    run_to_end(of, store)
    assert sampled_ids(store, spec(of, "b"), "b") == ids(range(0, 20, 4))
    assert (book(store, "a")["ignored"], book(store, "b")["ignored"]) == (6, 15)
    assert book(store, "b")["dead_lettered"] == 1


def test_one_model_reads_several_topics(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    one_topic, other = topic(), topic(2)
    send(kafka, one_topic, map(message, range(50)))
    send(kafka, other, map(message, range(50, 100)), partitions=2)
    of = settings(
        store.path, kafka.bootstrap, {"m": {"predictions": {"topic": [one_topic, other], "start": "earliest"}}}
    )
    one = spec(of)
    put_in_force(store, one)
    run_to_end(of, store)
    assert sampled_ids(store, one) == ids(range(100))


def test_predictions_wait_for_labels_in_any_order(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    predictions, truth = topic(2), topic()
    send(kafka, truth, (label(i, value=float(i)) for i in range(100)))
    send(kafka, predictions, map(message, range(120)), partitions=2)
    models = earliest(predictions, labels={"topic": [truth], "start": "earliest"})
    of = settings(store.path, kafka.bootstrap, models)
    put_in_force(store, spec(of, segment_by=(("origin",),)))
    run_to_end(of, store)
    with store.read() as conn:
        joined = labels.joined(conn, "m", START, START + HOUR)
    assert sorted(joined.label) == [float(i) for i in range(100)]
    assert set(joined.prediction) == {1.5}
    assert {json.loads(text)["origin"] for text in joined.segments} == {"JFK", "LGA", "EWR"}
    assert (book(store)["labels"], book(store)["awaiting"]) == (100, 120)
    counted(store, spec(of, segment_by=(("origin",),)))


def test_latest_begins_at_the_end_and_stays_there(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    name = topic()
    send(kafka, name, map(message, range(10)))
    of = settings(store.path, kafka.bootstrap, {"m": {"predictions": {"topic": [name]}}})
    one = spec(of)
    # The model's place is taken though it has no spec yet, and it survives a restart.
    with running(of, store):
        until(lambda: bool(_positions(store)), "the place")
    send(kafka, name, map(message, range(10, 20)))
    put_in_force(store, one)
    run_to_end(of, store)
    assert sampled_ids(store, one) == ids(range(10, 20))


def test_a_duration_begins_so_long_ago(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    name = topic()
    now = 1_000 * int(time.time())
    send(kafka, name, map(message, range(10)), stamp=now - 3 * 86_400_000)
    send(kafka, name, map(message, range(10, 20)), stamp=now - 86_400_000)
    of = settings(store.path, kafka.bootstrap, {"m": {"predictions": {"topic": [name], "start": "2d"}}})
    one = spec(of)
    put_in_force(store, one)
    run_to_end(of, store)
    assert sampled_ids(store, one) == ids(range(10, 20))


def test_a_topic_that_does_not_exist_yet_is_waited_for(
    kafka: Broker, admin: KafkaAdminClient, topic: MakeTopic, store: Store
) -> None:
    name = f"{topic()}.later"
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    sentence = f"The topic {name} does not exist yet: it is waited for."
    with running(of, store):
        until(lambda: sentence in _notes(store).values(), "a sentence about the topic")
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
        send(kafka, name, map(message, range(10)))
        until(lambda: book(store).get("profiled") == 10, "its rows")
        assert _notes(store) == {}
    admin.delete_topics([name])


def test_a_run_to_the_end_waits_for_its_topics_and_ends_without_them(
    kafka: Broker, admin: KafkaAdminClient, topic: MakeTopic, store: Store
) -> None:
    # Given one topic of two, and a run that waits for the other one as long as it takes
    name = topic()
    late = f"{name}.later"
    models = {"m": {"predictions": {"topic": [name, late], "start": "earliest"}}}
    of = settings(store.path, kafka.bootstrap, models)
    one = spec(of)
    put_in_force(store, one)
    send(kafka, name, map(message, range(10)))
    with running(of, store, until_end=True, pace=replace(HURRY, absent=PATIENCE)) as intake:
        until(lambda: len(_notes(store)) == 1, "a sentence about the topic")
        # (nothing is read before it is known where all of it ends)
        assert book(store) == {}
        admin.create_topics({late: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
        until(lambda: intake.done, "the end")
    assert sampled_ids(store, one) == ids(range(10))
    assert _notes(store) == {}
    # When it is gone again, and waited for in vain
    admin.delete_topics([late])
    with pytest.raises(TopicsMissing, match=rf"\({late} does not exist yet\)"):
        run_to_end(of, store, pace=replace(HURRY, absent=0.0))
    # Then nothing was counted twice, and what is missing stays in the status
    assert sampled_ids(store, one) == ids(range(10))
    assert list(_notes(store)) == [f"stream.topic.{late}"]


def test_new_partitions_are_read_from_their_beginning(
    kafka: Broker, admin: KafkaAdminClient, topic: MakeTopic, store: Store
) -> None:
    name = topic()
    of = settings(store.path, kafka.bootstrap, {"m": {"predictions": {"topic": [name]}}})
    one = spec(of)
    put_in_force(store, one)
    with running(of, store):
        until(lambda: bool(_positions(store)), "the first partition")
        admin.create_partitions({name: 2})
        with contextlib.closing(KafkaProducer(bootstrap_servers=kafka.bootstrap, metadata_max_age_ms=100)) as producer:
            until(lambda: len(producer.partitions_for(name)) == 2, "the second partition")
            for number in range(10):
                producer.send(name, message(number), partition=1)
        until(lambda: book(store).get("profiled") == 10, "the new partition's rows")


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    kafka: Broker, admin: KafkaAdminClient, topic: MakeTopic, store: Store
) -> None:
    name = topic()
    send(kafka, name, map(message, range(100)))
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    with running(of, store):
        until(lambda: book(store).get("profiled") == 100, "the old topic's rows")
        _make_anew(admin, name)
        send(kafka, name, map(message, range(100, 400)))
        until(lambda: book(store).get("profiled", 0) >= 400, "the new topic's rows")
    assert sampled_ids(store, one) == ids(range(400))
    with store.read() as conn:
        (gap,) = gaps.gaps(conn, "m")
        assert (gap.from_offset, gap.reason) == (100, "the topic was deleted and created again")
        assert gap.event_time_from == START + 990 * SECOND - 10 * MINUTE
        assert len({p.topic_id for p in positions.load_positions(conn)}) == 1


def test_a_topic_made_anew_while_nobody_looked_is_read_from_its_beginning(
    kafka: Broker, admin: KafkaAdminClient, topic: MakeTopic, store: Store
) -> None:
    name = topic()
    send(kafka, name, map(message, range(100)))
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    run_to_end(of, store)
    _make_anew(admin, name)
    send(kafka, name, map(message, range(100, 250)))
    run_to_end(of, store)
    assert sampled_ids(store, one) == ids(range(250))


def test_a_topic_that_is_gone_is_not_asked_for_any_more(
    kafka: Broker, admin: KafkaAdminClient, topic: MakeTopic, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    stays = topic()
    goes = f"{stays}.goes"
    admin.create_topics({goes: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    of = settings(store.path, kafka.bootstrap, earliest(stays)).kafka
    with contextlib.closing(Consumer(of, client_id="test", max_poll_records=10)) as consumer:
        consumer.assign({TopicPartition(stays, 0): 0, TopicPartition(goes, 0): 0})
        admin.delete_topics([goes])

        def complains(timeout_ms: int) -> bool:
            caplog.clear()
            consumer.poll(timeout_ms)
            return any(goes in record.getMessage() for record in caplog.records)

        until(lambda: complains(200), "the client to find out")
        # It knows the leader of the other one, and only of that
        with pytest.raises(LeaderNotAvailableError, match="goes"):
            consumer.ends([TopicPartition(stays, 0), TopicPartition(goes, 0)])
        consumer.assign({TopicPartition(stays, 0): 0})
        consumer.forget([goes])
        complains(200)  # an answer may have been under way
        assert not complains(2_000)


def test_rows_that_retention_took_are_a_gap(
    kafka: Broker, admin: KafkaAdminClient, topic: MakeTopic, store: Store
) -> None:
    name = topic()
    send(kafka, name, map(message, range(100)))
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    run_to_end(of, store)
    send(kafka, name, map(message, range(100, 200)))
    _delete_before(admin, name, 150)
    run_to_end(of, store)
    assert sampled_ids(store, one) == ids([*range(100), *range(150, 200)])
    with store.read() as conn:
        (gap,) = gaps.gaps(conn, "m")
    assert (gap.from_offset, gap.to_offset) == (100, 150)
    # (rows may be out of order by 10 minutes, so that those that were lost may lie outside of the rows around them)
    assert (gap.event_time_from, gap.event_time_to) == (
        START + 990 * SECOND - 10 * MINUTE,
        START + 1500 * SECOND + 10 * MINUTE,
    )


def test_an_offset_beyond_the_end_stops_the_partition_loudly(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    name = topic(2)
    send(kafka, name, map(message, range(20)), partitions=2)
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    run_to_end(of, store)
    with store.write() as conn:
        first = positions.load_positions(conn)[0]
        moved = {field: getattr(first, field) for field in type(first).__dataclass_fields__} | {"next_offset": 1000}
        positions.advance(conn, type(first)(**moved), first.next_offset)
    send(kafka, name, map(message, range(20, 40)), partitions=2)
    run_to_end(of, store)
    assert sampled_ids(store, one) == ids([*range(20), *range(21, 40, 2)])
    with store.read() as conn:
        (note,) = (note for note in status.load_notes(conn) if note.key.startswith("stream.partition"))
    assert "1000" in note.sentence


def test_only_committed_transactions_count_and_markers_do_not_stall(
    kafka: Broker, topic: MakeTopic, store: Store
) -> None:
    name = topic()
    with contextlib.closing(
        KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{name}-tx", acks="all")
    ) as producer:
        producer.init_transactions()
        for block in range(6):
            producer.begin_transaction()
            for number in range(block * 10, block * 10 + 10):
                producer.send(name, message(number))
            producer.flush()
            if block % 2:
                producer.abort_transaction()
            else:
                producer.commit_transaction()
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    run_to_end(of, store)
    assert sampled_ids(store, one) == ids([*range(10), *range(20, 30), *range(40, 50)])
    # The last of 60 rows and 6 markers is an abort: nothing of it is ever handed out, and yet the end is reached.
    assert [position.next_offset for position in _positions(store)] == [66]


def test_an_idle_partition_is_attested_to_be_at_its_end(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    name = topic(2)
    of = settings(store.path, kafka.bootstrap, earliest(name))
    put_in_force(store, spec(of))

    def attested() -> bool:
        with store.read() as conn:
            known = positions.load_partitions(conn, [name])
            now = positions.checkpoint(conn)
        return len(known) == 2 and all(
            p.end_offset is not None and (p.attested_checkpoint or -9) > now - 3 for p in known
        )

    with running(of, store):
        send(kafka, name, map(message, range(10)))
        until(lambda: book(store).get("profiled") == 10, "the rows")
        until(attested, "both attestations")
        assert [position.next_offset for position in _positions(store)] == [10, 0]


def test_another_checkpoint_in_between_loses_the_fence_and_counts_again(
    kafka: Broker, topic: MakeTopic, store: Store
) -> None:
    name = topic()
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    with running(of, store):
        send(kafka, name, map(message, range(10)))
        until(lambda: book(store).get("profiled") == 10, "the first rows")
        # When someone turns the position back by 5, those 5 rows are counted again: by whoever holds the fence
        with store.write() as conn:
            (position,) = positions.load_positions(conn)
            fields = {field: getattr(position, field) for field in type(position).__dataclass_fields__}
            positions.advance(conn, type(position)(**fields | {"next_offset": 5}), position.next_offset)
        send(kafka, name, map(message, range(10, 20)))
        until(lambda: book(store).get("profiled") == 25, "the rows from the stored position on")
    assert sampled_ids(store, one) == sorted(ids(range(20)) + ids(range(5, 10)))


def test_a_new_spec_counts_rows_of_its_panes_and_the_old_one_the_others(
    kafka: Broker, topic: MakeTopic, store: Store
) -> None:
    name = topic()
    of = settings(store.path, kafka.bootstrap, earliest(name))
    old, new = spec(of), spec(of, segment_by=(("origin",),))
    put_in_force(store, old)
    with running(of, store):
        send(kafka, name, map(message, range(10)))
        until(lambda: book(store).get("profiled") == 10, "the first rows")
        put_in_force(store, new, START + HOUR)
        send(kafka, name, (message(i, at=START + i * 10 * MINUTE) for i in range(12)))
        until(lambda: book(store).get("profiled") == 22, "the later rows")
    with store.read() as conn:
        rows = {(row.pane_start, row.spec_hash): row.rows for row in panes.pane_rows(conn, "m")}
    assert rows == {(START, old.hash): 16, (START + HOUR, new.hash): 6}


def test_a_store_without_room_pauses_intake_and_loses_nothing(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    name = topic()
    of = settings(store.path, kafka.bootstrap, earliest(name))
    one = spec(of)
    put_in_force(store, one)
    with running(of, store) as intake:
        send(kafka, name, map(message, range(10)))
        until(lambda: book(store).get("profiled") == 10, "the first rows")
        # When another process holds the file's lock for longer than a writer waits
        stranger = sqlite3.connect(store.path, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        send(kafka, name, map(message, range(10, 30)))
        until(lambda: "is locked by another program" in intake.paused, "the pause")
        alive = intake.last_poll
        until(lambda: intake.last_poll > alive, "a sign of life while paused")
        stranger.execute("ROLLBACK")
        stranger.close()
        until(lambda: book(store).get("profiled") == 30, "the rows that waited")
    assert sampled_ids(store, one) == ids(range(30))


def test_new_features_are_noted(kafka: Broker, topic: MakeTopic, store: Store) -> None:
    name = topic()
    send(kafka, name, [message(0, features={"delay": 1.0, "weather": "rain"}), message(1)])
    of = settings(store.path, kafka.bootstrap, earliest(name))
    put_in_force(store, spec(of))
    run_to_end(of, store)
    assert "weather" in _notes(store)["schema.m"]
    # When the producer has gone back, the next run finds nothing to note
    send(kafka, name, [message(2)])
    run_to_end(of, store)
    assert _notes(store) == {}


def _notes(store: Store) -> dict[str, str]:
    with store.read() as conn:
        return {note.key: note.sentence for note in status.load_notes(conn)}


def _positions(store: Store) -> list[positions.Position]:
    with store.read() as conn:
        return positions.load_positions(conn)


def _make_anew(admin: KafkaAdminClient, name: str) -> None:
    admin.delete_topics([name])
    until(lambda: _made(admin, name), "the topic to go and come again")


def _made(admin: KafkaAdminClient, name: str) -> bool:
    try:
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return False
    return True


def _delete_before(admin: KafkaAdminClient, name: str, offset: int) -> None:
    admin.delete_records({TopicPartition(name, 0): offset})
