"""Puts flights on Kafka as a serving system would: a prediction when each leaves, its label when it arrives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from deploy.demo.flights import FEATURES, DelayModel

PARTITIONS = 3
VERSION = "1"


@dataclass(frozen=True)
class Fault:
    """Something that the demonstration breaks on purpose between two instants of the replayed year."""

    start: pd.Timestamp
    end: pd.Timestamp
    sentence: str

    def covers(self, instants: pd.Series) -> pd.Series:
        """Which of the instants lie within the fault, as booleans."""
        return (instants >= self.start) & (instants < self.end)


UNIT_ERROR = Fault(
    pd.Timestamp("2013-12-28T00:00Z"),
    pd.Timestamp("2014-01-02T00:00Z"),
    "from 28 December on an upstream change sends dep_delay in seconds instead of minutes",
)
SILENCE = Fault(
    pd.Timestamp("2013-11-19T12:00Z"),
    pd.Timestamp("2013-11-20T12:00Z"),
    "from 19 November 12:00 the producer is down for a day: flights leave, no prediction is logged",
)
FAULTS = (UNIT_ERROR, SILENCE)


@dataclass(frozen=True)
class Message:
    """One event on its way to Kafka; `instant` is its event time in milliseconds since the epoch."""

    topic: str
    partition: int
    instant: int
    body: bytes


@dataclass(frozen=True)
class Replay:
    """Prediction and label events of some flights, in event-time order."""

    flights: pd.DataFrame
    model: DelayModel
    predictions_topic: str
    labels_topic: str

    def __len__(self) -> int:
        return len(self._predicted()) + int(self.flights["arrival"].notna().sum())

    def __iter__(self) -> Iterator[Message]:
        """Predictions and labels merged by the time at which each becomes known."""
        logged = self._predicted()
        events = [
            *zip(
                _milliseconds(logged["departure"]),
                self._prediction_bodies(logged),
                strict=True,
            )
        ]
        predictions = (
            Message(self.predictions_topic, number % PARTITIONS, instant, body)
            for number, (instant, body) in enumerate(events)
        )
        arrived = self.flights[self.flights["arrival"].notna()].sort_values("arrival", kind="stable")
        instants = _milliseconds(arrived["arrival"])
        labels = (
            Message(
                self.labels_topic,
                number % PARTITIONS,
                instant,
                _body(id=id, ts=_rfc3339(instant), label=float(delay)),
            )
            for number, (instant, id, delay) in enumerate(
                zip(instants, arrived["id"], arrived["arr_delay"], strict=True)
            )
        )
        return iter(sorted([*predictions, *labels], key=lambda message: message.instant))

    def _predicted(self) -> pd.DataFrame:
        return self.flights[~SILENCE.covers(self.flights["departure"])]

    def _prediction_bodies(self, logged: pd.DataFrame) -> Iterator[bytes]:
        seen = logged.assign(
            dep_delay=np.where(
                UNIT_ERROR.covers(logged["departure"]),
                logged["dep_delay"] * 60,
                logged["dep_delay"],
            )
        )
        predictions = self.model.predict(seen).round(3)
        features = seen[[*FEATURES]].to_dict("records")
        for id, instant, row, prediction in zip(
            seen["id"],
            _milliseconds(seen["departure"]),
            features,
            predictions,
            strict=True,
        ):
            yield _body(
                id=id,
                ts=_rfc3339(instant),
                model_version=VERSION,
                features=row,
                prediction=float(prediction),
            )


def create_topics(bootstrap: str, *topics: str) -> None:
    """Makes topics that keep events of any age: the replayed ones are of 2013."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics([NewTopic(topic, PARTITIONS, 1, topic_configs={"retention.ms": "-1"}) for topic in topics])
    finally:
        admin.close()


def produce(bootstrap: str, replay: Replay, advance: Callable[[], None]) -> None:
    """Sends every event, stamped with its event time, and calls `advance` once for each."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        linger_ms=50,
        batch_size=262_144,
        compression_type="lz4",
    )
    for message in replay:
        producer.send(
            message.topic,
            message.body,
            partition=message.partition,
            timestamp_ms=message.instant,
        )
        advance()
    producer.flush()
    producer.close()


def _milliseconds(instants: pd.Series) -> list[int]:
    return [int(value) for value in instants.to_numpy(dtype="datetime64[ms]").astype(np.int64)]


def _rfc3339(milliseconds: int) -> str:
    return np.datetime_as_string(np.datetime64(milliseconds, "ms"), unit="s") + "Z"


def _body(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
