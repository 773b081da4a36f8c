"""SIGKILL while a reference is collected, built and labelled: the same reference and verdicts as without."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from kafka import KafkaProducer

from daemon.store import Store, books, collecting, panes, references
from detectors.instants import HOUR, MINUTE, SECOND, Micros, parse_rfc3339, rfc3339
from tests.conftest import Broker, MakeTopic
from tests.faults.scenario import END_SECONDS
from tests.support.daemon import Daemon

START: Micros = parse_rfc3339("2013-03-01T00:00:00Z")
HOURS = 30
THIN = (3, 9)
"""Hours with too few rows to be a window of the reference."""
SHIFTED = 25
POINTS = (
    "checkpoint.before_transaction:2",
    "checkpoint.inside_transaction:1",
    "checkpoint.after_transaction:2",
    "reference.before_transaction:1",
    "reference.after_transaction:1",
    "reference.before_labels:1",
    "reference.after_labels:1",
)


def messages(seed: int) -> Iterator[tuple[str, int, Micros, dict[str, Any]]]:
    """Topic, partition, arrival and body of each message, in order of arrival in its partition.

    Rows come up to 90 minutes out of order, so that some are too late; from the 25th hour on amounts are higher.
    """
    random = np.random.default_rng(seed)
    made = []
    for hour in range(HOURS):
        for number in range(12 if hour in THIN else 90):
            at = START + hour * HOUR + int(random.integers(HOUR))
            late = int(random.choice([0, 5, 90], p=[0.8, 0.18, 0.02])) * MINUTE
            amount = float(random.normal(50 + 2 * np.sin(hour), 5)) + (20 if hour >= SHIFTED else 0)
            made.append((at + late, at, f"{hour}-{number}", amount, float(random.normal(amount / 5, 1))))
    for arrival, at, name, amount, prediction in sorted(made):
        partition = int(random.integers(2))
        body = {
            "id": name,
            "ts": rfc3339(at - at % SECOND),
            "features": {"amount": amount, "kind": str(random.choice(["web", "shop"]))},
            "prediction": prediction,
        }
        yield "predictions", partition, arrival, body
        if random.random() < 0.9:
            known = arrival + 20 * MINUTE
            label = prediction + float(random.normal())
            yield "labels", partition, known, {"id": name, "ts": rfc3339(known - known % SECOND), "label": label}


def configure(folder: Path, broker: Broker, topics: dict[str, str]) -> Daemon:
    folder.mkdir()
    document = {
        "installation": "test",
        "clock": "event",
        "kafka": {"bootstrap_servers": broker.bootstrap},
        "store": {"checkpoint": "100ms"},
        "models": {
            "orders": {
                "task": "regression",
                "predictions": {"topic": topics["predictions"], "start": "earliest", "fields": {"version": None}},
                "labels": {"topic": topics["labels"], "start": "earliest", "maturity": {"at_most": "2h"}},
                "window": {"size": "1h", "every": "1h", "min_rows": 50, "watermark_delay": "10m"},
            }
        },
    }
    config = folder / "driftd.yaml"
    config.write_text(yaml.safe_dump(document))
    return Daemon(config, folder / "driftd.log")


def outcome(daemon: Daemon) -> dict[str, Any]:
    """Everything that must not depend on how often the daemon died: windows, reference, counts and verdicts."""
    with (
        contextlib.closing(Store.open(daemon.config.parent / "driftd.db", writer=False)) as store,
        store.read() as conn,
    ):
        reference = references.current(conn, "orders")
        assert reference is not None
        assert books.check(conn) == []
        counted = books.books(conn)["orders"]
        kept = collecting.kept(conn, "orders")
        found = {
            "windows": collecting.windows(conn, "orders"),
            "samples": [window.sample for window in kept],
            "labels": [window.labels for window in kept],
            "reference": (reference, collecting.labelled(conn, reference)),
            "panes": panes.pane_rows(conn, "orders"),
            "books": {name: counted[name] for name in ("messages", "profiled", "late_dropped", "labels")},
        }
    return found | {"results": sorted(json.dumps(row, sort_keys=True) for row in daemon.results())}


def test_killed_at_every_step_the_reference_and_the_verdicts_are_the_same(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    # Given traffic of which fourteen sound hours are the reference, and two daemons over it
    topics = {"predictions": topic(2), "labels": topic(2)}
    with contextlib.closing(KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", linger_ms=20)) as producer:
        for name, partition, arrival, body in messages(seed=3):
            value = json.dumps(body).encode()
            producer.send(topics[name], value, partition=partition, timestamp_ms=arrival // 1_000)
    steady, killed = (configure(tmp_path / name, kafka, topics) for name in ("steady", "killed"))
    try:
        # When one runs through, and the other is killed at every step
        steady.start("--until-end")
        assert steady.wait(END_SECONDS) == 0, steady.tail()
        for point in POINTS:
            killed.start("--until-end", crash_at=point)
            killed.wait(END_SECONDS)
            assert killed.was_killed, f"it ended with {killed.status} before {point}\n{killed.tail()}"
        killed.start("--until-end")
        assert killed.wait(END_SECONDS) == 0, killed.tail()
        # Then
        wanted, found = outcome(steady), outcome(killed)
    finally:
        steady.end()
        killed.end()
    for name, value in wanted.items():
        assert found[name] == value, name
    assert [window.skipped for window in wanted["windows"]].count(collecting.TOO_FEW_ROWS) == len(THIN)
    assert len(wanted["samples"]) == 14
    assert wanted["books"]["late_dropped"] > 0
    assert wanted["reference"][0] != wanted["reference"][1]
    verdicts = [json.loads(row) for row in wanted["results"]]
    assert any(row["signal"] == "feature_drift" and row["verdict"] == "drift" for row in verdicts)
    assert any(row["metric"] == "mae" and row["noise_floor"] is not None for row in verdicts)
