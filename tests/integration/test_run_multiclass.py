"""A multiclass model from Kafka to Slack: tickets that are sent to queues, with a probability for each queue."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kafka import KafkaProducer
from sklearn import metrics

from deploy.slack.local import LocalSlack
from detectors.instants import DAY, rfc3339
from tests.conftest import Broker, MakeTopic
from tests.integration.shop import PARTITIONS, START, configure, driftd, results

QUEUES = ("billing", "sales", "support")
A_DAY = 240
FIELDS = {"prediction": "queue", "scores": "probabilities"}


def tickets(first_day: int, days: int, *, seed: int, confused: float = 0.0) -> pd.DataFrame:
    """Rows of some days after START; a share of them, `confused`, belongs to another queue than the model believes."""
    random = np.random.default_rng(seed)
    n = days * A_DAY
    words = random.gamma(5, 20, n)
    shares = random.dirichlet((0.6, 0.4, 0.3), n).round(6)
    labels = np.array([random.choice(3, p=share / share.sum()) for share in shares])
    wrong = random.random(n) < confused
    labels[wrong] = (shares[wrong].argmax(axis=1) + 1) % 3
    return pd.DataFrame(
        {
            "id": [f"{first_day}-{i}" for i in range(n)],
            "ts": pd.to_datetime(START + first_day * DAY + np.arange(n) * (DAY // A_DAY), unit="us", utc=True),
            "words": words,
            "queue": np.array(QUEUES, dtype=object)[shares.argmax(axis=1)],
            "probabilities": [dict(zip(QUEUES, share.tolist(), strict=True)) for share in shares],
            "label": np.array(QUEUES, dtype=object)[labels],
        }
    )


def send(bootstrap: str, topic: str, frame: pd.DataFrame, delay: pd.Timedelta, body: Callable[[Any], Any]) -> None:
    """Puts a message for each row on a topic, some time after the row's own."""
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=20)) as producer:
        for number, row in enumerate(frame.to_dict("records")):
            at = row["ts"] + delay
            message = {"id": row["id"], "ts": at.strftime("%Y-%m-%dT%H:%M:%SZ"), **body(row)}
            producer.send(
                topic,
                json.dumps(message).encode(),
                partition=number % PARTITIONS,
                timestamp_ms=int(at.timestamp() * 1_000),
            )


def test_a_model_that_confuses_its_classes_becomes_one_incident(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    # Given thirty days as the reference, six ordinary days, and four in which a third of the tickets belongs elsewhere
    tickets(-30, 30, seed=1).to_parquet(tmp_path / "tickets.parquet")
    predictions, labels = topic(2), topic(2)
    ordinary, confused = tickets(0, 6, seed=2), tickets(6, 4, seed=3, confused=0.33)
    for frame in (ordinary, confused):
        send(
            kafka.bootstrap,
            predictions,
            frame,
            pd.Timedelta(0),
            lambda row: {
                "model_version": "7",
                "features": {"words": row["words"]},
                "queue": row["queue"],
                "probabilities": row["probabilities"],
            },
        )
        send(kafka.bootstrap, labels, frame, pd.Timedelta(hours=1), lambda row: {"label": row["label"]})
    with LocalSlack() as slack:
        config = configure(
            tmp_path,
            kafka.bootstrap,
            predictions,
            labels,
            slack=slack.url,
            model={
                "task": "multiclass",
                "predictions": {"topic": predictions, "start": "earliest", "fields": FIELDS},
                "reference": {"uri": "tickets.parquet"},
                "alerts": {"quality": {"f1": {"worse_than_reference": "10%"}}},
            },
        )
        # When
        done = driftd("run", "--until-end", "--config", config)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        found = results(config)
        # Then each window was judged by what scikit-learn says of the same rows
        day = ordinary.head(A_DAY)
        # (what is estimated without labels has the same metrics, and a signal of its own)
        first = [r for r in found if r["window_end"] == rfc3339(START + DAY) and r["signal"] == "quality"]
        (one,) = [r for r in first if r["metric"] == "f1"]
        assert one["value"] == metrics.f1_score(day["label"], day["queue"], average="macro")
        assert one["rows"] == A_DAY
        (one,) = [r for r in first if r["metric"] == "log_loss"]
        given = [p[label] for p, label in zip(day["probabilities"], day["label"], strict=True)]
        assert abs(one["value"] - float(np.mean(-np.log(np.clip(given, 2.3e-16, 1))))) < 1e-9
        assert one["noise_floor"] is not None
        # and estimated from its probabilities alone, near to what the labels said
        estimated = {r["window_end"]: r for r in found if r["signal"] == "estimated_quality" and r["metric"] == "f1"}
        measured = {r["window_end"]: r for r in found if r["signal"] == "quality" and r["metric"] == "f1"}
        assert estimated[rfc3339(START + DAY)]["rows"] == A_DAY
        before = [end for end in estimated if end <= rfc3339(START + 6 * DAY)]
        assert len(before) >= 6
        assert all(abs(estimated[end]["value"] - measured[end]["value"]) < 0.1 for end in before)
        # the ordinary days are quiet, the others are one incident
        told = [r for r in found if r["incident"] is not None]
        assert {r["window_end"] > rfc3339(START + 6 * DAY) for r in told} == {True}
        assert {r["signal"] for r in told if r["verdict"] == "degraded"} == {"quality"}
        assert "f1" in {r["metric"] for r in told}
        assert len({r["incident"] for r in told}) == 1
        # and one thread tells of it
        (thread,) = slack.threads()
        assert thread.channel == "#orders"
    status = driftd("status", "--config", config, "--verify")
    assert status.returncode == 0, status.stdout
    assert "The books balance." in status.stdout


def test_labels_of_an_unknown_class_are_told_at_once_and_the_rest_goes_on(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    # Given a day in which every tenth label is spelt otherwise, and scores that are no probabilities
    tickets(-30, 30, seed=1).to_parquet(tmp_path / "tickets.parquet")
    predictions, labels = topic(2), topic(2)
    frame = tickets(0, 2, seed=2)
    frame.loc[::10, "label"] = "Billing"
    send(
        kafka.bootstrap,
        predictions,
        frame,
        pd.Timedelta(0),
        lambda row: {
            "features": {"words": row["words"]},
            "queue": row["queue"],
            "probabilities": {queue: 40 * share for queue, share in row["probabilities"].items()},
        },
    )
    send(kafka.bootstrap, labels, frame, pd.Timedelta(hours=1), lambda row: {"label": row["label"]})
    config = configure(
        tmp_path,
        kafka.bootstrap,
        predictions,
        labels,
        model={
            "task": "multiclass",
            "predictions": {"topic": predictions, "start": "earliest", "fields": FIELDS},
            "reference": {"uri": "tickets.parquet"},
        },
    )
    # When
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    # Then both are data incidents, and the classes are judged all the same
    found = [r for r in results(config) if r["window_end"] == rfc3339(START + DAY)]
    found = [r for r in found if r["signal"] != "estimated_quality"]
    verdicts = {r["metric"]: r["verdict"] for r in found if r["segment"] is None}
    assert verdicts["unknown_labels"] == verdicts["invalid_scores"] == "violated"
    assert verdicts["log_loss"] == "no_data"
    assert verdicts["f1"] == "ok"
    assert {r["incident"] for r in found if r["metric"] == "unknown_labels"} != {None}
    assert [r["rows"] for r in found if r["metric"] == "f1"] == [A_DAY * 9 // 10]
