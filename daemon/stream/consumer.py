"""One Kafka consumer that reads assigned partitions from offsets of the caller's own choice.

kafka-python's parts that are not public (it has no other way to a topic's id, or to a bound on a metadata request) are
used in this module, in `connecting` and in `records` only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.protocol.metadata import MetadataRequest
from kafka.structs import OffsetAndMetadata, TopicPartition

from daemon.config.settings import Kafka
from daemon.stream import connecting
from daemon.stream.errors import KafkaUnreachable
from daemon.stream.records import PartitionRecords

log = logging.getLogger("driftd.stream")

CALL_MS = 5_000
"""How long a question to the brokers may take: the poll loop waits for it."""
COMMIT_MS = 1_000
BOOTSTRAP_MS = 5_000
FETCH_BYTES = 16 << 20
_COMMIT_REST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster knows it now."""

    name: str
    id: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster's id, and those of the wanted topics that exist; about the unsettled ones it cannot say yet."""

    id: str
    topics: Mapping[str, Topic]
    forbidden: frozenset[str]
    unsettled: frozenset[str]


class Consumer:
    """Reads the partitions that it is given; never commits by itself and never resets an offset by itself."""

    def __init__(self, kafka: Kafka, *, client_id: str, max_poll_records: int) -> None:
        """Connect.

        Raises:
            KafkaUnreachable: no broker answers.
        """
        self._failures = connecting.Failures(kafka)
        self._kafka = connecting.open_consumer(
            kafka,
            BOOTSTRAP_MS,
            self._failures,
            client_id=client_id,
            group_id=None,
            auto_offset_reset="none",
            enable_auto_commit=False,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            metadata_max_age_ms=30_000,
            max_poll_records=max_poll_records,
            fetch_max_bytes=FETCH_BYTES,
            reconnect_backoff_max_ms=1_000,
            metrics_enabled=False,
        )
        self._kafka._fetcher.PartitionRecords = PartitionRecords

    def describe(self, topics: Collection[str]) -> Cluster:
        """Ask the cluster, not the cache, which of these topics there are.

        Raises:
            KafkaError: no answer.
        """
        manager = self._kafka._manager
        request = MetadataRequest(
            topics=[MetadataRequest.MetadataRequestTopic(name=topic) for topic in sorted(topics)],
            allow_auto_topic_creation=False,
            include_cluster_authorized_operations=False,
            include_topic_authorized_operations=False,
        )

        async def ask() -> Any:
            return await manager.wait_for(manager.send(request), CALL_MS)

        answer = self._kafka._net.run(ask)
        self._failures.connected()
        found: dict[str, Topic] = {}
        forbidden: set[str] = set()
        unsettled: set[str] = set()
        for topic in answer.topics:
            error = for_code(topic.error_code)
            if error.errno == 0 and topic.partitions:
                numbers = tuple(sorted(partition.partition_index for partition in topic.partitions))
                found[topic.name] = Topic(topic.name, str(topic.topic_id or ""), numbers)
            elif error is TopicAuthorizationFailedError:
                forbidden.add(topic.name)
            elif error is not UnknownTopicOrPartitionError:
                unsettled.add(topic.name)
        return Cluster(answer.cluster_id or "", found, frozenset(forbidden), frozenset(unsettled))

    def why(self, error: KafkaError) -> str:
        """Why Kafka has not answered, as far as its connections tell."""
        return self._failures.sentence(error)

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read exactly these partitions, each from its offset."""
        self._kafka.assign(list(offsets))
        for partition, offset in offsets.items():
            self._kafka.seek(partition, offset)

    def forget(self, topics: Collection[str]) -> None:
        """Never ask for these topics again, which are gone: by itself the client would, several times a second."""
        self._kafka._cluster._topics -= set(topics)

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        """The next records by partition, in the order of their offsets."""
        found: dict[TopicPartition, list[Any]] = self._kafka.poll(timeout_ms)
        return found

    def passed(self, partition: TopicPartition) -> int | None:
        """The offset up to which nothing is left to hand out: past control records and what compaction took away.

        Looks at the client's own state and asks nobody. Only to step over what is no row: an offset that is stored
        comes from the rows themselves.
        """
        state = self._kafka._subscription.assignment.get(partition)
        position = None if state is None else state.position
        return None if position is None else int(position.offset)

    def left(self, offsets: Mapping[TopicPartition, int]) -> int:
        """How many offsets lie beyond these, as of the last answer for each partition. Asks nobody."""
        known = {partition: self._kafka.highwater(partition) for partition in offsets}
        return sum(max(0, end - offsets[partition]) for partition, end in known.items() if end is not None)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on from this offset; what was fetched and not yet handed out is thrown away."""
        self._kafka.seek(partition, offset)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Hand out nothing of these partitions until `resume`."""
        self._kafka.pause(*partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Hand out records of these partitions again."""
        self._kafka.resume(*partitions)

    def paused(self) -> set[TopicPartition]:
        """The partitions that hand out nothing now."""
        return set(self._kafka.paused())

    def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where each log begins now.

        Raises:
            KafkaError: no answer.
        """
        with _leaders():
            return dict(self._kafka.beginning_offsets(partitions, timeout_ms=CALL_MS)) if partitions else {}

    def ends(self, partitions: Sequence[TopicPartition], timeout_ms: int = CALL_MS) -> dict[TopicPartition, int]:
        """Where each log ends now, for a reader of committed records only.

        Raises:
            KafkaError: no answer.
        """
        with _leaders():
            return dict(self._kafka.end_offsets(partitions, timeout_ms=timeout_ms)) if partitions else {}

    def offsets_at(self, partitions: Sequence[TopicPartition], millis: int) -> dict[TopicPartition, int | None]:
        """The first offset at or after an instant of Kafka's own timestamps; None where there is none yet.

        Raises:
            KafkaError: no answer.
        """
        asked = dict.fromkeys(partitions, millis)
        found = self._kafka.offsets_for_times(asked, timeout_ms=CALL_MS) if asked else {}
        return {partition: None if at is None else at.offset for partition, at in found.items()}

    def close(self) -> None:
        """Close the connections."""
        connecting.close_consumer(self._kafka)


@contextmanager
def _leaders() -> Iterator[None]:
    """kafka-python leaves out a partition without a leader, such as one that is just deleted, and then looks it up."""
    try:
        yield
    except KeyError as error:
        raise LeaderNotAvailableError(f"the partition {error} has no leader now") from error


class Committer:
    """Tells Kafka how far the store has come, for people's lag tools; nothing depends on it.

    A consumer of its own: one with a group cannot poll while the group's coordinator is away.
    """

    def __init__(self, kafka: Kafka, *, group: str, client_id: str) -> None:
        self._settings = kafka
        self._group = group
        self._client_id = client_id
        self._kafka: KafkaConsumer | None = None
        self._not_before = 0.0

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit, and give up after a second; when that did not work, nothing happens for a minute."""
        if not offsets or time.monotonic() < self._not_before:
            return
        try:
            if self._kafka is None:
                self._kafka = connecting.open_consumer(
                    self._settings,
                    COMMIT_MS,
                    client_id=self._client_id,
                    group_id=self._group,
                    enable_auto_commit=False,
                    allow_auto_create_topics=False,
                    metrics_enabled=False,
                )
            marks = {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()}
            self._kafka.commit(marks, timeout_ms=COMMIT_MS)
        except (KafkaError, KafkaUnreachable) as error:
            log.info("Kafka did not take the committed offsets, which are only for lag tools: %s", error)
            self.close()
            self._not_before = time.monotonic() + _COMMIT_REST_SECONDS

    def close(self) -> None:
        """Close the connections."""
        if self._kafka is not None:
            connecting.close_consumer(self._kafka)
            self._kafka = None
