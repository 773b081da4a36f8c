"""The end of a run that ends by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from kafka.structs import TopicPartition

from daemon.store import positions
from daemon.store.store import Store
from daemon.stream.consumer import Consumer
from daemon.stream.flows import Flow
from daemon.stream.partitions import PartitionState


class RunEnd:
    """Where the run stops reading: the ends of the partitions as they were at its start, whatever comes later."""

    def __init__(self) -> None:
        self._offsets: dict[TopicPartition, int] | None = None

    def is_set(self, partitions: Collection[PartitionState]) -> bool:
        """Whether it is known and set; after a doubt the partitions that the run began with have to be taken again."""
        return self._offsets is not None and not (self._offsets and not partitions)

    def set(self, kafka: Consumer, store: Store, partitions: Collection[PartitionState]) -> None:
        """Let each partition be read to its end.

        Whoever reads again after a doubt stops where the run was to stop; what has come since is not of this run.

        Raises:
            KafkaError: the ends are not known.
        """
        if self._offsets is None:
            self._offsets = kafka.ends([state.at for state in partitions])
        for state in partitions:
            state.run_end = self._offsets.get(state.at, state.read)
        with store.write() as conn:
            positions.save_partitions(conn, [state.record() for state in partitions])

    def is_reached(
        self,
        flows: Iterable[Flow],
        partitions: Collection[PartitionState],
        *,
        given_up: Collection[str],
        collecting: Collection[str],
    ) -> bool:
        """Whether every flow that will ever count has read to its end.

        The models in `given_up` will get no spec in this run; those in `collecting` have no complete reference.
        """
        if not self.is_set(partitions):
            return False
        if any(not flow.active and flow.model not in given_up for flow in flows):
            return False
        if _held(partitions, collecting) - set(given_up):
            return False
        return all(state.at_run_end or state.stopped for state in partitions if state.active)


def _held(partitions: Iterable[PartitionState], collecting: Collection[str]) -> set[str]:
    """The models that will still read on in this run, once something is decided or stored.

    Labels that lie beyond what a reference can have reached wait for ever when no more predictions come.
    """
    held = {role: set[str]() for role in ("predictions", "labels")}
    for state in partitions:
        for cursor in state.cursors.values():
            if cursor.held_at is not None:
                held[cursor.flow.role].add(cursor.flow.model)
    return held["predictions"] | (held["labels"] - set(collecting))
