"""A broker for a benchmark, topics on it, and rows put there as fast as one process can."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from kafka import KafkaAdminClient, KafkaProducer

from deploy.kafka.local import LocalKafka
from tests.benchmarks import data
from tests.benchmarks.registry import Run

PIECE = 50_000
"""So many rows are made at once."""
PRODUCER = {"linger_ms": 20, "batch_size": 1 << 18}


@contextmanager
def broker(run: Run) -> Iterator[LocalKafka]:
    """A Kafka of the benchmark's own, with the virtual machine's full compiler: a quick start would cost throughput."""
    run.say("starting Kafka")
    with LocalKafka(run.folder / "kafka", heap="1g", jvm=()) as kafka:
        yield kafka


def create(bootstrap: str, partitions: int, *names: str) -> None:
    """Makes topics and waits until they can be written to."""
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        wanted = {name: {"num_partitions": partitions, "replication_factor": 1} for name in names}
        admin.create_topics(wanted, wait_for_metadata=True)


def rows(count: int, seed: int, times: Sequence[int] | np.ndarray) -> Iterator[tuple[int, bytes]]:
    """So many prediction messages, each with its event time in microseconds; `times` ascend."""
    instants = np.asarray(times)
    for at in range(0, count, PIECE):
        piece = instants[at : at + PIECE]
        frame = data.predictions(len(piece), seed=seed + at)
        yield from zip(piece.tolist(), data.messages(frame, piece, first=at), strict=True)


def fill(bootstrap: str, topic: str, partitions: int, messages: Iterable[tuple[int, bytes]]) -> int:
    """Puts messages on a topic, partition after partition in turn, and returns how many they were."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, **PRODUCER)
    number = 0
    for number, (time, body) in enumerate(messages, 1):
        producer.send(topic, body, partition=number % partitions, timestamp_ms=time // 1_000)
    producer.flush()
    producer.close()
    return number
