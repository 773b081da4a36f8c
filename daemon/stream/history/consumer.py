"""Files in the place of a cluster: intake reads them by the same calls, and so by the same way into the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from daemon.config.settings import Kafka, Model
from daemon.stream import event_time
from daemon.stream.consumer import Cluster, Consumer, Topic
from daemon.stream.errors import HistoryError
from daemon.stream.history.files import Log, columns_of, find
from daemon.stream.history.messages import has_labels, label_messages, prediction_messages
from daemon.stream.mapping import header_conditions
from daemon.stream.records import Headers, Record
from detectors.instants import Micros, rfc3339

CLUSTER = "files"
PREDICTIONS, LABELS = "predictions", "labels"
"""The topics of a history."""


class FileConsumer(Consumer):
    """Reads one partition a topic: each is a `Log`, its offsets are the rows' numbers. No broker is asked anything.

    Of several topics the one whose next row is the earliest is read, as they would have come.
    """

    def __init__(self, logs: Mapping[str, Log], headers: Mapping[str, Headers], *, max_poll_records: int) -> None:
        self._logs = {TopicPartition(topic, 0): log for topic, log in logs.items()}
        self._headers = headers
        self._most = max_poll_records
        self._next: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    def describe(self, topics: Collection[str]) -> Cluster:
        found = {at.topic: Topic(at.topic, at.topic, (0,)) for at in self._logs if at.topic in topics}
        return Cluster(CLUSTER, found, frozenset(), frozenset())

    def why(self, error: KafkaError) -> str:
        return str(error)

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._next = dict(offsets)
        self._paused &= self._next.keys()

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:  # noqa: ARG002  what there is is there at once
        waiting = [at for at, offset in self._next.items() if at not in self._paused and offset < len(self._logs[at])]
        if not waiting:
            return {}
        at = min(waiting, key=lambda one: (self._logs[one].time(self._next[one]), one))
        offset, headers = self._next[at], self._headers.get(at.topic, ())
        times, bodies = self._logs[at].read(offset, self._most)
        self._next[at] = offset + len(bodies)
        stamps = [-1 if time == event_time.NEVER else time // 1_000 for time in times.tolist()]
        return {
            at: [
                Record(at.topic, at.partition, offset + place, stamp, body, headers)
                for place, (stamp, body) in enumerate(zip(stamps, bodies, strict=True))
            ]
        }

    def passed(self, partition: TopicPartition) -> int | None:
        return self._next.get(partition)

    def left(self, offsets: Mapping[TopicPartition, int]) -> int:
        return sum(max(0, len(self._logs[at]) - offset) for at, offset in offsets.items())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._next[partition] = offset

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._paused -= set(partitions)

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def ends(
        self,
        partitions: Sequence[TopicPartition],
        timeout_ms: int = 0,  # noqa: ARG002
    ) -> dict[TopicPartition, int]:
        return {at: len(self._logs[at]) for at in partitions}

    def offsets_at(
        self,
        partitions: Sequence[TopicPartition],
        millis: int,  # noqa: ARG002
    ) -> dict[TopicPartition, int | None]:
        # A history is read from its first row on: what is earlier than was asked for was left out when it was opened.
        return dict.fromkeys(partitions, 0)

    def close(self) -> None:
        self._next.clear()


@dataclass(frozen=True, slots=True)
class History:
    """What files hold for one model, under the topics that `model` names; `has_labels` says whether there are any."""

    model: Model
    logs: Mapping[str, Log]
    headers: Mapping[str, Headers]
    has_labels: bool

    def consumer(self, _: Kafka, *, client_id: str, max_poll_records: int) -> FileConsumer:  # noqa: ARG002
        """What intake reads it by, in the place of a connection to Kafka."""
        return FileConsumer(self.logs, self.headers, max_poll_records=max_poll_records)


def open_history(model: Model, path: Path, *, label_time: str | None = None, since: Micros | None = None) -> History:
    """The history that a Parquet file, or a folder of them, holds for a model; from an instant on if one is given.

    Labels are a column beside the predictions, `label_time` the column of their own times. Without labels in the files
    the history's model has none.

    Raises:
        HistoryError: what is there cannot be used.
    """
    paths = find(path)
    columns = columns_of(paths)
    predictions = model.predictions.model_copy(update={"topic": (PREDICTIONS,), "format": "json", "start": "earliest"})
    logs = {PREDICTIONS: Log(paths, prediction_messages(model, columns, label_time), since)}
    headers = {PREDICTIONS: _headers(predictions.where)}
    labels = None
    if model.labels is not None and has_labels(model, columns):
        labels = model.labels.model_copy(update={"topic": (LABELS,), "format": "json", "start": "earliest"})
        logs[LABELS] = Log(paths, label_messages(model, columns, label_time), since)
        headers[LABELS] = _headers(labels.where)
    if not len(logs[PREDICTIONS]):
        raise HistoryError(f"{path} has no row" if since is None else f"{path} has no row since {rfc3339(since)}")
    replayed = model.model_copy(update={"predictions": predictions, "labels": labels})
    return History(replayed, logs, headers, labels is not None)


def _headers(where: Mapping[str, str]) -> Headers:
    return tuple(header_conditions(where))
