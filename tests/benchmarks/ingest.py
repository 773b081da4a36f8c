"""How fast rows are read, counted exactly once and stored, beside a bare poll loop over the same topic."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from detectors.instants import HOUR
from tests.benchmarks import daemons, data, topics
from tests.benchmarks.machine import peer
from tests.benchmarks.registry import Figure, Run, Target, benchmark

PARTITIONS = 4
COUNT, ROUNDS = 600_000, 5
TOPIC, LABELS = "predictions", "labels"
TARGETS = {"without labels": 0.6, "with predictions kept for labels": 0.45}


@benchmark("ingest", "messages a second from Kafka to the exactly-once store, beside a bare poll loop")
def measure(run: Run) -> Iterator[Figure]:
    count = 4 * COUNT if run.full else COUNT
    with topics.broker(run) as kafka:
        topics.create(kafka.bootstrap, PARTITIONS, TOPIC, LABELS)
        run.say(f"producing {count:,} messages of {data.MESSAGE_BYTES} bytes")
        # Two hours of event time: most checkpoints hold rows of one pane, as they do in a stream that is not behind.
        times = data.START + np.arange(count) * (2 * HOUR) // count
        topics.fill(kafka.bootstrap, TOPIC, PARTITIONS, topics.rows(count, seed=1, times=times))
        reference = daemons.write_reference(run.folder, 50_000)
        prepared = {}
        for number, case in enumerate(TARGETS):
            run.say(f"reading the reference ({case})")
            labels = LABELS if number else None
            folder = run.folder / f"case{number}"
            folder.mkdir()
            prepared[case] = daemons.write_configuration(
                folder / "ingest.yaml",
                kafka.bootstrap,
                {"model": daemons.model(TOPIC, reference, labels=labels)},
                clock="event",
            )
            daemons.child("readers", "prepare", str(prepared[case]))
        floors: list[dict[str, Any]] = []
        own: dict[str, list[dict[str, Any]]] = {case: [] for case in TARGETS}
        for number in range(ROUNDS):
            run.say(f"round {number + 1} of {ROUNDS}: a bare poll loop, then driftd {', then '.join(TARGETS)}")
            floors.append(json.loads(daemons.child("readers", "poll", kafka.bootstrap, TOPIC)))
            for case, configuration in prepared.items():
                own[case].append(_intake(configuration, run.folder / "round"))
        for case, target in TARGETS.items():
            yield from _figures(case, own[case], floors, target)


def _intake(configuration: Path, folder: Path) -> dict[str, Any]:
    """One reading into a fresh copy of the prepared store."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(configuration.parent, folder)
    found: dict[str, Any] = json.loads(daemons.child("readers", "intake", str(folder / configuration.name)))
    found["stored_bytes"] = sum(path.stat().st_size for path in folder.glob("*.db*"))
    return found


def _figures(case: str, own: list[dict[str, Any]], floors: list[dict[str, Any]], target: float) -> Iterator[Figure]:
    """By the wall clock, where other work on the machine counts too, and by CPU time of all threads."""
    for kind, what, unit in (("seconds", "", "messages/s"), ("cpu", ", by CPU time", "messages/s of CPU")):
        speeds, limits = ([one["messages"] / one[kind] for one in side] for side in (own, floors))
        ratios = [speed / limit for speed, limit in zip(speeds, limits, strict=True)]
        yield Figure(
            case=f"{case}{what}",
            unit=unit,
            driftd=statistics.median(speeds),
            peer=f"{peer('kafka-python')} poll loop",
            peer_value=statistics.median(limits),
            ratio=statistics.median(ratios),
            target=Target(at_least=target),
            details={
                "messages": own[0]["messages"],
                "bytes_a_message": data.MESSAGE_BYTES,
                "ratios": ratios,
                "us_a_message": 1e6 / statistics.median(speeds),
                "peer_us_a_message": 1e6 / statistics.median(limits),
                "stored_bytes_a_message": statistics.median(one["stored_bytes"] / one["messages"] for one in own),
            },
        )
