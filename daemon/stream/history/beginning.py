"""Where a replay of Kafka's own history begins: written down before anything is read, as if it had come that far."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from daemon.config.settings import Settings
from daemon.store import Store, positions
from daemon.store.positions import Position
from daemon.stream.consumer import Cluster, Consumer
from daemon.stream.errors import KafkaUnreachable
from daemon.stream.flows import flows_of
from detectors.instants import Micros


def begin_at(settings: Settings, store: Store, *, since: Micros | None, offset: int | None) -> None:
    """Give every model its place in a store that is new: at an instant of Kafka's timestamps, or at an offset.

    An offset is one of the predictions' partitions; labels are then read from their beginning. What lies outside a
    partition is moved to its nearer end.

    Raises:
        KafkaUnreachable: no broker answers.
    """
    flows = flows_of(settings.models)
    with closing(Consumer(settings.kafka, client_id="driftd-backtest", max_poll_records=1)) as kafka:
        try:
            cluster = kafka.describe({topic for flow in flows for topic in flow.topics})
            found = _partitions(cluster)
            begins, ends = kafka.beginnings(found), kafka.ends(found)
            first: Mapping[TopicPartition, int | None] = (
                kafka.offsets_at(found, max(0, since // 1_000)) if since is not None else dict.fromkeys(found, offset)
            )
        except KafkaError as error:
            raise KafkaUnreachable(kafka.why(error)) from error
    moves: list[tuple[Position, int | None]] = []
    for flow in flows:
        for at in found:
            if at.topic not in flow.topics or (since is None and flow.role == "labels"):
                continue
            wanted = first[at]
            start = ends[at] if wanted is None else min(max(wanted, begins[at]), ends[at])
            topic = cluster.topics[at.topic]
            moves.append((Position(*flow.key, cluster.id, at.topic, topic.id, at.partition, start), None))
    with store.write() as conn:
        positions.advance_all(conn, moves)


def _partitions(cluster: Cluster) -> list[TopicPartition]:
    return [TopicPartition(topic.name, number) for topic in cluster.topics.values() for number in topic.partitions]
