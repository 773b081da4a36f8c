"""The partitions that intake reads: which of them there are, where each stands, and what the consumer is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from daemon.store.store import Store
from daemon.stream import places
from daemon.stream.consumer import Cluster, Consumer, Topic
from daemon.stream.flows import Flow
from daemon.stream.notes import PARTITIONS, Notes
from daemon.stream.partitions import PartitionState
from detectors.instants import Micros

log = logging.getLogger("driftd.stream")

_AT_ONCE_MS = 1_000


class Assignment:
    """Every partition of the wanted topics, as of the cluster's last answer. The consumer may be another each time."""

    def __init__(self, flows: Sequence[Flow], store: Store, notes: Notes, clock: Callable[[], Micros]) -> None:
        self._flows = flows
        self._store = store
        self._notes = notes
        self._clock = clock
        self._known: dict[str, Topic] = {}
        self.topics = frozenset(topic for flow in flows for topic in flow.topics)
        self.states: dict[TopicPartition, PartitionState] = {}
        self.assigned: frozenset[TopicPartition] = frozenset()
        """What the consumer reads now."""
        self.gone: frozenset[str] = frozenset()
        """The topics that were there and are not any more, as of the cluster's last answer."""

    @property
    def partitions(self) -> Collection[PartitionState]:
        """Every partition."""
        return self.states.values()

    @property
    def missing(self) -> frozenset[str]:
        """The topics that did not exist when the cluster was last asked."""
        return self.topics - self._known.keys()

    def forget(self) -> None:
        """Know of nothing any more."""
        self.states.clear()
        self._known.clear()
        self.assigned = frozenset()

    # Against the cluster's answer

    def is_made_anew(self, cluster: Cluster) -> bool:
        """Whether a topic was deleted and created again."""
        known = {topic.name: topic.id for topic in self._known.values()}
        return any(topic.id != known.get(topic.name, topic.id) for topic in cluster.topics.values())

    def look_for_gone(self, cluster: Cluster) -> bool:
        """Whether topics that were there are not any more."""
        self.gone = frozenset(self._known.keys() - cluster.topics.keys())
        return bool(self.gone)

    def drop_gone(self, kafka: Consumer) -> None:
        """Stop reading the topics that are gone; what was read of them has to be written first."""
        for name in self.gone:
            log.warning("The topic %s is gone.", name)
            del self._known[name]
        kafka.forget(self.gone)
        self.states = {at: state for at, state in self.states.items() if at.topic not in self.gone}
        self.gone = frozenset()

    def take(self, kafka: Consumer, cluster: Cluster) -> None:
        """Give every flow its place in partitions that are new.

        Raises:
            FenceLost: someone else has moved a position meanwhile.
            KafkaError: a log's beginning and end are not known.
        """
        for topic in cluster.topics.values():
            fresh = [
                PartitionState(TopicPartition(topic.name, number), cluster.id, topic.id)
                for number in topic.partitions
                if TopicPartition(topic.name, number) not in self.states
            ]
            if fresh:
                places.place(self._store, kafka, self._flows, fresh, self._clock())
                self.states |= {state.at: state for state in fresh}
            self._known[topic.name] = topic

    def note_stopped(self) -> None:
        """Say which partitions are not read any more, and why."""
        stopped = {f"{at.topic}.{at.partition}": state.stopped for at, state in self.states.items()}
        self._notes.say_all(PARTITIONS, {key: sentence for key, sentence in stopped.items() if sentence is not None})

    # For the consumer

    def assign(self, kafka: Consumer) -> bool:
        """Let it read exactly the partitions that some flow can count, each from the lowest offset still wanted.

        Returns whether anything has changed.
        """
        wanted = {at: state for at, state in self.states.items() if state.is_read}
        behind = [state for state in wanted.values() if state.lowest() < state.read]
        if frozenset(wanted) == self.assigned and not behind:
            return False
        for state in wanted.values():
            state.read = state.lowest()
        kafka.assign({at: state.read for at, state in wanted.items()})
        self.assigned = frozenset(wanted)
        return True

    def step_over_gaps(self, kafka: Consumer) -> None:
        """Pass transaction markers and what compaction took: no row will ever come from there."""
        for at in self.assigned:
            passed = kafka.passed(at)
            state = self.states[at]
            if passed is not None and passed > state.read:
                state.step_over(passed if state.run_end is None else min(passed, max(state.read, state.run_end)))

    def ends(self, kafka: Consumer) -> dict[TopicPartition, int]:
        """Where the partitions end now, as far as Kafka says so at once."""
        try:
            return kafka.ends([at for at in self.states if at.topic not in self.gone], timeout_ms=_AT_ONCE_MS)
        except KafkaError as error:
            log.info("The ends of the partitions are not known: %s", error)
            return {}

    def left(self, kafka: Consumer) -> int:
        """How many offsets are still to be read, as of the last fetches."""
        return kafka.left({at: self.states[at].read for at in self.assigned})
