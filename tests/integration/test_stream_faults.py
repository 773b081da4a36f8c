"""Kills, broken batches and broker restarts: the counts are those of a run in which nothing happened."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import crc32c
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from daemon import crashpoints
from daemon.store import dead_letters, labels
from daemon.store.store import Store
from deploy.kafka.local import CHECKOUT, LocalKafka
from detectors.instants import HOUR, SECOND
from tests.conftest import BREAKS_A_BROKER, Broker, MakeTopic
from tests.faults.segments import batches
from tests.unit.stream.world import (
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

ROWS = 600
POINTS = (
    "checkpoint.before_transaction",
    "checkpoint.inside_transaction",
    "checkpoint.after_transaction",
    "checkpoint.before_commit",
    "checkpoint.after_commit",
)

Damage = tuple[str | None, bool]
"""How a batch is compressed, and whether its checksum is mended after it was damaged."""
DAMAGES: tuple[Damage, ...] = ((None, False), ("lz4", False), ("lz4", True), ("zstd", True), ("gzip", True))


def send(bootstrap: str, topic: str, values: list[bytes], partitions: int = 1, **more: Any) -> None:
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5, **more)) as producer:
        for number, value in enumerate(values):
            producer.send(topic, value, partition=number % partitions)
        producer.flush()


def run(path: Path, bootstrap: str, models: Mapping[str, Any], crash_at: str = "") -> int:
    """One run to the end in a process of its own; its exit status, negative for a signal."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.stream.one_run", str(path), bootstrap, json.dumps(models)],
        cwd=CHECKOUT,
        env={**os.environ, crashpoints.VARIABLE: crash_at},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_a_kill_at_any_point_of_a_checkpoint_changes_no_number(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    # Given predictions and labels, and a run that is killed at each point in turn, at its first or second checkpoint
    predictions, truth = topic(2), topic()
    models = {
        "m": {
            "predictions": {"topic": [predictions], "start": "earliest"},
            "labels": {"topic": [truth], "start": "earliest"},
        }
    }
    path = tmp_path / "store.db"
    of = settings(path, kafka.bootstrap, models)
    one = spec(of)
    with Store.open(path, writer=True) as store:
        put_in_force(store, one)
    sent = 0
    for nth, point in enumerate(POINTS):
        more = range(sent, sent + ROWS // len(POINTS))
        send(kafka.bootstrap, predictions, [message(i) for i in more], partitions=2)
        send(kafka.bootstrap, truth, [label(i) for i in more])
        sent += len(more)
        killed = run(path, kafka.bootstrap, models, f"{point}:1")
        assert killed == -signal.SIGKILL, f"{point} was never reached"
        if nth % 2:
            assert run(path, kafka.bootstrap, models) == 0
    # When it may end at last
    assert run(path, kafka.bootstrap, models) == 0
    # Then
    with Store.open(path, writer=True) as store:
        assert counted(store, one) == Counter(("7", START + i * 10 * SECOND // HOUR * HOUR) for i in range(ROWS))
        assert sampled_ids(store, one) == sorted(f"id-{i}" for i in range(ROWS))
        books = book(store)
        assert (books["profiled"], books["labels"], books["awaiting"]) == (ROWS, ROWS, ROWS)
        with store.read() as conn:
            assert len(labels.joined(conn, "m", START, START + 100 * HOUR)) == ROWS


@pytest.fixture(scope="module")
def damaged(broker_to_break: LocalKafka) -> Mapping[Damage, str]:
    """A topic for each damage: three batches of ten rows on partition 0, the middle one damaged on disk."""
    broker_to_break.start()
    topics = {damage: f"damaged-{number}" for number, damage in enumerate(DAMAGES)}
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=broker_to_break.bootstrap)) as admin:
        new = {topic: {"num_partitions": 2, "replication_factor": 1} for topic in topics.values()}
        admin.create_topics(new, wait_for_metadata=True)
    for (compression, _), topic in topics.items():
        with contextlib.closing(
            KafkaProducer(
                bootstrap_servers=broker_to_break.bootstrap,
                linger_ms=10_000,
                batch_size=1 << 20,
                compression_type=compression,
            )
        ) as producer:
            for batch in range(3):
                for i in range(10):
                    producer.send(topic, message(batch * 10 + i), partition=0)
                producer.send(topic, message(100 + batch), partition=1)
                producer.flush()
    broker_to_break.stop()
    for (_, mend_crc), topic in topics.items():
        damage(broker_to_break.directory, topic, mend_crc=mend_crc)
    return topics


def damage(broker: Path, topic: str, *, mend_crc: bool) -> None:
    """Make the second batch of partition 0 one that cannot be read."""
    _, second, _ = batches(broker, topic, 0)
    data = bytearray(second.path.read_bytes())
    # The records begin at byte 61 of a batch, and what a codec made begins with a mark of its own.
    data[second.position + 61] ^= 0xFF
    if mend_crc:  # then it is the codec that fails, and that does not say where
        whole = bytes(data[second.position + 21 : second.position + second.size])
        struct.pack_into(">I", data, second.position + 17, crc32c.crc32c(whole))
    second.path.write_bytes(data)


@BREAKS_A_BROKER
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_batch_that_cannot_be_read_is_a_dead_letter_and_the_others_count(
    damaged: Mapping[Damage, str], own_broker: LocalKafka, tmp_path: Path, kind: Damage
) -> None:
    with Store.open(tmp_path / "store.db", writer=True) as store:
        models = {"m": {"predictions": {"topic": [damaged[kind]], "start": "earliest"}}}
        of = settings(store.path, own_broker.bootstrap, models)
        one = spec(of)
        put_in_force(store, one)
        # When
        run_to_end(of, store)
        # Then
        assert sampled_ids(store, one) == sorted(f"id-{i}" for i in [*range(10), *range(20, 30), 100, 101, 102])
        with store.read() as conn:
            letters = dead_letters.load(conn)[::-1]
        # One letter, or one for each checkpoint that fell in between.
        assert {(letter.reason, letter.model) for letter in letters} == {("broken batch", "m")}
        assert [i for letter in letters for i in range(letter.offset, letter.offset_end)] == list(range(10, 20))
        assert book(store)["dead_lettered"] == 10
        counted(store, one)


@BREAKS_A_BROKER
def test_a_broker_that_goes_away_and_comes_back_costs_nothing(own_broker: LocalKafka, tmp_path: Path) -> None:
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=own_broker.bootstrap)) as admin:
        admin.create_topics({"away": {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
    with Store.open(tmp_path / "store.db", writer=True) as store:
        of = settings(
            store.path, own_broker.bootstrap, {"m": {"predictions": {"topic": ["away"], "start": "earliest"}}}
        )
        one = spec(of)
        put_in_force(store, one)
        with running(of, store) as intake:
            send(own_broker.bootstrap, "away", [message(i) for i in range(100)], partitions=2)
            until(lambda: book(store).get("profiled") == 100, "the first rows")
            own_broker.kill()
            alive = intake.last_poll
            until(lambda: intake.last_poll > alive, "a sign of life without a broker")
            own_broker.start()
            send(own_broker.bootstrap, "away", [message(i) for i in range(100, 200)], partitions=2)
            until(lambda: book(store).get("profiled") == 200, "the later rows")
        assert sampled_ids(store, one) == sorted(f"id-{i}" for i in range(200))


def test_a_broker_that_is_not_there_yet_is_waited_for(tmp_path: Path, kafka_jars: Path) -> None:
    broker = LocalKafka(tmp_path / "kafka", jars=kafka_jars)
    with Store.open(tmp_path / "store.db", writer=True) as store:
        of = settings(store.path, broker.bootstrap, {"m": {"predictions": {"topic": ["t"], "start": "earliest"}}})
        put_in_force(store, spec(of))
        with running(of, store) as intake:
            alive = intake.last_poll
            until(lambda: intake.last_poll > alive, "a sign of life without a broker")
            with broker:
                with contextlib.closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
                    admin.create_topics({"t": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
                send(broker.bootstrap, "t", [message(i) for i in range(10)])
                until(lambda: book(store).get("profiled") == 10, "its rows")
