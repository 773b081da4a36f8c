"""Many models at once, in real time: the daemon's share of a core, and what it writes."""

from __future__ import annotations

import json
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
    seconds = 600 if run.full else 170
    names = [f"model-{number:03}" for number in range(MODELS)]
    with topics.broker(run) as kafka:
        reference = daemons.write_reference(run.folder, 20_000)
        topics.create(kafka.bootstrap, 1, *names)
        models = {name: daemons.model(name, reference, segments={"by": [SEGMENTED]}) for name in names}
        yield from _measured(run, kafka.bootstrap, "a topic each", models, seconds)
        topics.create(kafka.bootstrap, 4, "shared")
        models = {
            name: daemons.model("shared", reference, segments={"by": [SEGMENTED]})
            | {"predictions": {"topic": "shared", "start": "earliest", "where": {"model": name}}}
            for name in names
        }
        yield from _measured(run, kafka.bootstrap, "one shared topic", models, 60)


def _measured(run: Run, bootstrap: str, case: str, models: dict[str, dict[str, Any]], seconds: int) -> Iterator[Figure]:
    read = sorted({str(settings["predictions"]["topic"]) for settings in models.values()})
    folder = run.folder / case.replace(" ", "-")
    folder.mkdir()
    configuration = daemons.write_configuration(folder / "many.yaml", bootstrap, models)
    run.say(f"{case}: reading the references of {len(models)} models")
    began = time.monotonic()
    daemons.child("readers", "prepare", str(configuration))
    preparing = time.monotonic() - began
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
        before, first, stored = daemon.cost(), daemon.counted(), daemon.stored_bytes()
        daemon.wait_until(lambda: time.monotonic() - before.at >= seconds)
        after, last, grown = daemon.cost(), daemon.counted(), daemon.stored_bytes()
        producer.kill()
    counted, took = last - first, after.at - before.at
    cpu, workers = after.cpu - before.cpu, after.workers_cpu - before.workers_cpu
    # Counted is what the last checkpoint wrote, the CPU is as of now: both cover the same length of a steady stream.
    share = (cpu + workers) / took
    floor = json.loads(daemons.child("readers", "poll", bootstrap, *read))
    pure = floor["cpu"] / floor["messages"]
    yield Figure(
        case=f"{case}: share of one core",
        unit="%",
        driftd=100 * share,
        peer=f"{peer('kafka-python')} poll loop, the same messages a second",
        peer_value=100 * pure * RATE,
        target=Target(at_most=70),
        details={
            "models": len(models),
            "messages": counted,
            "messages_a_second": counted / took,
            "main_process_cpu_us_a_message": 1e6 * cpu / took / RATE,
            "workers_cpu_us_a_message": 1e6 * workers / took / RATE,
            "rss_mib": after.rss / 2**20,
            "preparing_s": preparing,
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
