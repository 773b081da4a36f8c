"""Two ways to read a topic to its end, each in a process of its own: a bare poll loop, and driftd's intake.

python -m tests.benchmarks.readers poll BOOTSTRAP TOPIC...
python -m tests.benchmarks.readers prepare CONFIGURATION
python -m tests.benchmarks.readers intake CONFIGURATION

`poll` and `intake` print JSON: messages, wall-clock seconds from connecting to the last message (the last checkpoint),
and CPU seconds of the process. `prepare` reads the reference and puts its spec in force, which is no part of reading.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from daemon.cli import allocator
from daemon.cli.clock import wall_clock
from daemon.schedule.references import References
from daemon.schedule.workers import WorkerPool
from daemon.store import Store, books
from daemon.stream.consumer import FETCH_BYTES
from daemon.stream.intake import Intake
from daemon.stream.pace import Pace
from daemon.stream.spec import spec_of
from tests.support.configuration import load


def poll(bootstrap: str, topics: Sequence[str]) -> int:
    """Fetches every message of the topics and looks at none; with the same settings as driftd's own consumer."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_poll_records=Pace().poll_records,
        fetch_max_bytes=FETCH_BYTES,
        metrics_enabled=False,
    )
    partitions = [
        TopicPartition(topic, number) for topic in topics for number in sorted(consumer.partitions_for_topic(topic))
    ]
    consumer.assign(partitions)
    for partition in partitions:
        consumer.seek(partition, 0)
    left, messages = sum(consumer.end_offsets(partitions).values()), 0
    while messages < left:
        messages += sum(map(len, consumer.poll(timeout_ms=200).values()))
    consumer.close()
    return messages


def prepare(configuration: Path) -> None:
    """Makes the store, reads every reference, and puts the specs in force."""
    settings = load(configuration, environ=os.environ)
    store = Store.open(settings.store.path, writer=True)
    pool = WorkerPool(1)
    references = References(settings.models, store, pool, spec_of)
    references.refresh(wall_clock())
    pool.close()
    store.close()
    if unusable := references.unusable():
        raise SystemExit(f"no reference for {', '.join(unusable)}")


def intake(configuration: Path) -> int:
    """Reads every topic to its end into the store, as `driftd run` does, and evaluates nothing."""
    allocator.restrain(os.environ)
    settings = load(configuration, environ=os.environ)
    store = Store.open(settings.store.path, writer=True)
    reading = Intake(settings, store, clock=wall_clock, until_end=True)
    reading.run()
    with store.read() as conn:
        counted = books.books(conn)
    store.close()
    if any(counters["dead_lettered"] or counters["late_dropped"] for counters in counted.values()):
        raise SystemExit(f"rows were not counted: {counted}")
    return sum(counters["messages"] for counters in counted.values())


def main(arguments: list[str]) -> None:
    """One of the three ways."""
    match arguments:
        case ["prepare", configuration]:
            prepare(Path(configuration))
        case ["poll", bootstrap, *topics] if topics:
            began, used = time.perf_counter(), time.process_time()
            _report(poll(bootstrap, topics), began, used)
        case ["intake", configuration]:
            began, used = time.perf_counter(), time.process_time()
            _report(intake(Path(configuration)), began, used)
        case _:
            raise SystemExit(__doc__)


def _report(messages: int, began: float, used: float) -> None:
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"messages": messages, "seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main(sys.argv[1:])
