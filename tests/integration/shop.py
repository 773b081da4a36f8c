"""A shop's orders on a real broker: predictions, later their labels, and a configuration to watch them with."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from kafka import KafkaProducer

from detectors.instants import DAY, HOUR, Micros
from tests.unit.schedule.world import REFERENCE_DAYS, ROWS_A_DAY, START, orders

PARTITIONS = 2
AN_HOUR = pd.Timedelta(hours=1)


def produce(bootstrap: str, topic: str, frame: pd.DataFrame) -> None:
    """Puts rows on their topic in order of time, record timestamp and all."""
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=20)) as producer:
        for number, row in enumerate(frame.to_dict("records")):
            at = row["ts"]
            body = {
                "id": row["id"],
                "ts": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "model_version": "7",
                "features": {"amount": row["amount"], "kind": row["kind"]},
                "prediction": row["prediction"],
            }
            _send(producer, topic, number, body, at)


def produce_labels(bootstrap: str, topic: str, frame: pd.DataFrame, after: pd.Timedelta = AN_HOUR) -> None:
    """Puts the label of each row on its topic, some time after its prediction."""
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=20)) as producer:
        for number, row in enumerate(frame.to_dict("records")):
            at = row["ts"] + after
            body = {"id": row["id"], "ts": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "label": row["label"]}
            _send(producer, topic, number, body, at)


def _send(producer: KafkaProducer, topic: str, number: int, body: object, at: pd.Timestamp) -> None:
    producer.send(
        topic,
        json.dumps(body).encode(),
        partition=number % PARTITIONS,
        timestamp_ms=int(at.timestamp() * 1_000),
    )


def configure(
    folder: Path, bootstrap: str, predictions: str, labels: str | None, *, slack: str | None = None, **changes: Any
) -> Path:
    """A configuration with its reference beside it; `changes` go into the installation, `model` into the model."""
    orders(-REFERENCE_DAYS, REFERENCE_DAYS, seed=1).to_parquet(folder / "reference.parquet")
    model: dict[str, Any] = {
        "task": "regression",
        "predictions": {"topic": predictions, "start": "earliest"},
        "reference": {"uri": "reference.parquet"},
        "window": {"size": "1d", "every": "12h", "min_rows": 50},
        "channel": "#orders",
    }
    if labels is not None:
        model["labels"] = {"topic": labels, "start": "earliest", "maturity": {"coverage": "90%", "at_most": "1d"}}
    model |= changes.pop("model", {})
    document: dict[str, Any] = {
        "installation": "test",
        "clock": "event",
        "kafka": {"bootstrap_servers": bootstrap},
        "store": {"checkpoint": "1s"},
        "models": {"orders": model},
    }
    if slack is not None:
        document["slack"] = {"bot_token": "xoxb-local", "api_url": slack}
    path = folder / "driftd.yaml"
    path.write_text(yaml.safe_dump(document | changes))
    return path


def driftd(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        [Path(sys.executable).with_name("driftd"), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=os.environ | {"DRIFTD_TRACEBACK": ""},
    )


def results(config: Path, *arguments: str) -> list[dict[str, Any]]:
    """What `driftd results` says, as objects."""
    done = driftd("results", "--config", config, "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


__all__ = ["DAY", "HOUR", "ROWS_A_DAY", "START", "Micros", "configure", "driftd", "orders", "produce", "results"]
