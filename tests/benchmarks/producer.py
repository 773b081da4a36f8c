"""Puts rows on topics at a steady rate, in a process of its own.

python -m tests.benchmarks.producer PLAN, where PLAN is JSON, see `Plan`. Prints the instant of the first row's event
time (microseconds) as soon as it begins, and at the end how many rows it has put there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
from kafka import KafkaProducer

from deploy.kafka.local import CHECKOUT
from detectors.instants import SECOND, Micros
from tests.benchmarks import data
from tests.benchmarks.topics import PRODUCER

SLICE = 0.02
"""Seconds of rows that are sent at once."""


@dataclass(frozen=True)
class Plan:
    """What is produced.

    Row i goes to topic i modulo their number, bears the name of model i modulo theirs (where there are names), and
    has the event time `start` + i / `event_rate`; None: the wall clock of the beginning. `rate` is in rows a second;
    None: as fast as it can. With `aligned` it begins at the next multiple of that length. From window `broken_from[k]`
    after the beginning on, each of that length, model k's num_00 is far out of range.
    """

    bootstrap: str
    topics: list[str]
    partitions: int
    count: int
    event_rate: float
    rate: float | None = None
    start: Micros | None = None
    models: list[str] | None = None
    aligned: Micros | None = None
    broken_from: list[int] | None = None
    seed: int = 1


def produce(plan: Plan) -> int:
    """Sends everything and returns how many rows that were."""
    producer = KafkaProducer(bootstrap_servers=plan.bootstrap, **PRODUCER)
    if plan.aligned is not None:
        time.sleep((plan.aligned - time.time() * SECOND % plan.aligned) / SECOND)
    began = time.time()
    start = int(began * SECOND) if plan.start is None else plan.start
    print(start, flush=True)
    sent = 0
    # Each model's rows go to every partition in turn.
    together = max(len(plan.topics), len(plan.models or ()))
    for instant, body in plan_rows(plan, start):
        if plan.rate is not None and sent % max(1, int(plan.rate * SLICE)) == 0:
            time.sleep(max(0.0, began + sent / plan.rate - time.time()))
        topic = plan.topics[sent % len(plan.topics)]
        producer.send(topic, body, partition=sent // together % plan.partitions, timestamp_ms=instant // 1_000)
        sent += 1
    producer.flush()
    producer.close()
    return sent


def plan_rows(plan: Plan, start: Micros) -> Iterator[tuple[int, bytes]]:
    """The plan's messages in order, each with its event time in microseconds."""
    piece = 50_000 if plan.rate is None else max(1, int(plan.rate))
    for at in range(0, plan.count, piece):
        number = np.arange(at, min(at + piece, plan.count))
        times = start + (number * (SECOND / plan.event_rate)).astype(np.int64)
        frame = data.predictions(len(number), seed=plan.seed + at)
        if plan.broken_from is not None and plan.models is not None and plan.aligned is not None:
            since = np.array(plan.broken_from)[number % len(plan.models)]
            broken = times // plan.aligned - start // plan.aligned >= since
            frame.loc[broken, "num_00"] = data.OUT_OF_RANGE
        names = None if plan.models is None else [plan.models[i] for i in (number % len(plan.models)).tolist()]
        yield from zip(times.tolist(), data.messages(frame, times, first=at, models=names), strict=True)


@contextmanager
def producing(plan: Plan) -> Iterator[subprocess.Popen[str]]:
    """The plan in a process of its own; what it prints can be read from it."""
    command = [sys.executable, "-m", "tests.benchmarks.producer", json.dumps(asdict(plan))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    print(produce(Plan(**json.loads(sys.argv[1]))), flush=True)
