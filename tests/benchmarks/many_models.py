"""Many models at once, in real time: the daemon's share of a core, and what it writes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

from detectors.instants import HOUR
from tests.benchmarks import daemons, data, topics
from tests.benchmarks.machine import peer
from tests.benchmarks.producer import Plan, producing
from tests.benchmarks.registry import Figure, Run, Target, benchmark

MODELS, RATE = 100, 5_000
SEGMENTED = "cat_5"
"""It has 20 values, so each model has 20 segments and one for the others."""
WARM_UP = 20
"""Seconds of the stream before anything is measured: two checkpoints."""


@benchmark("many_models", "100 models x 20 segment values at 5,000 messages a second in all, in real time")
def measure(run: Run) -> Iterator[Figure]:
    seconds, shorter = (600, 170) if run.full else (100, 50)
    names = [f"model-{number:03}" for number in range(MODELS)]
    with topics.broker(run) as kafka:
        reference = daemons.write_reference(run.folder, 20_000)
        common = daemons.model("", reference, segments={"by": [SEGMENTED]})
        alone = {name: common | {"predictions": {"topic": name, "start": "earliest"}} for name in names}
        shared = {
            name: common | {"predictions": {"topic": "shared", "start": "earliest", "where": {"model": name}}}
            for name in names
        }
        topics.create(kafka.bootstrap, 1, *names)
        topics.create(kafka.bootstrap, 4, "shared")
        run.say(f"reading the references of {MODELS} models")
        began = time.monotonic()
        prepared = daemons.write_configuration(run.folder / "many.yaml", kafka.bootstrap, alone)
        daemons.child("readers", "prepare", str(prepared))
        run.say(f"that took {time.monotonic() - began:.0f} s")
        yield from _measured(run, kafka.bootstrap, "a topic each", alone, seconds)
        yield from _measured(run, kafka.bootstrap, "one shared topic", shared, shorter)


def _measured(run: Run, bootstrap: str, case: str, models: dict[str, dict[str, Any]], seconds: int) -> Iterator[Figure]:
    read = sorted({str(settings["predictions"]["topic"]) for settings in models.values()})
    folder = run.folder / case.replace(" ", "-")
    folder.mkdir()
    shutil.copy(run.folder / "many.db", folder / "many.db")
    configuration = daemons.write_configuration(folder / "many.yaml", bootstrap, models)
    run.say(f"{case}: {seconds} s of {RATE:,} messages a second")
    plan = Plan(
        bootstrap,
        read,
        partitions=4 if len(read) == 1 else 1,
        count=RATE * (WARM_UP + seconds + 15),
        event_rate=RATE,
        rate=RATE,
        models=list(models) if len(read) == 1 else None,
    )
    with daemons.running(configuration) as daemon, producing(plan) as producer:
        daemon.wait_until(lambda: daemon.counted() >= RATE * WARM_UP)
        first = _next_checkpoint(daemon)
        before, stored = daemon.cost(), daemon.stored_bytes()
        daemon.wait_until(lambda: time.monotonic() - before.at >= seconds)
        last = _next_checkpoint(daemon)
        after, grown = daemon.cost(), daemon.stored_bytes()
        producer.kill()
    counted, took = last - first, after.at - before.at
    cpu, workers = (after.cpu - before.cpu) / counted, (after.workers_cpu - before.workers_cpu) / counted
    floor = json.loads(daemons.child("readers", "poll", bootstrap, *read))
    bare = floor["cpu"] / floor["messages"]
    yield Figure(
        case=f"{case}: share of one core",
        unit="%",
        driftd=100 * (cpu + workers) * RATE,
        peer=f"{peer('kafka-python')} poll loop, the same messages a second",
        peer_value=100 * bare * RATE,
        target=Target(at_most=70),
        details={
            "models": len(models),
            "messages": counted,
            "messages_a_second": counted / took,
            "main_process_cpu_us_a_message": 1e6 * cpu,
            "workers_cpu_us_a_message": 1e6 * workers,
            "rss_mib": after.rss / 2**20,
        },
    )
    yield Figure(
        case=f"{case}: bytes written to storage for each message",
        unit="bytes",
        driftd=(after.written - before.written) / counted,
        peer="the message itself",
        peer_value=data.MESSAGE_BYTES,
        ratio=data.MESSAGE_BYTES * counted / max(1, after.written - before.written),
        details={
            "store_growth_bytes_a_message": (grown - stored) / counted,
            "store_growth_gib_a_day": (grown - stored) / took * 24 * HOUR / 1e6 / 2**30,
            "store_mib": grown / 2**20,
        },
    )


def _next_checkpoint(daemon: daemons.Daemon) -> int:
    """Waits for the next checkpoint, and returns how many messages are counted with it."""
    counted = daemon.counted()
    daemon.wait_until(lambda: daemon.counted() > counted, every=0.1)
    return daemon.counted()
