"""The specs that the store says are in force, and the flows that count by them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from daemon.config.settings import Model
from daemon.store import Connection, collecting, specs, status
from daemon.store.specs import Activation
from daemon.store.store import Store
from daemon.stream.errors import StreamError
from daemon.stream.flows import ActiveSpec, Decoders, flows_of
from daemon.stream.partitions import PartitionState
from daemon.stream.spec import Spec
from detectors.instants import Micros


class SpecsInForce:
    """The flows of all models. A model without a spec waits; one whose specs cannot be used says so in its state."""

    def __init__(self, models: Mapping[str, Model], store: Store, clock: Callable[[], Micros]) -> None:
        self._models = models
        self._store = store
        self._clock = clock
        self._decoders = Decoders()
        self._activations: list[Activation] = []
        self.flows = flows_of(models)
        self.unreadable: dict[str, str] = {}
        """The models that cannot be counted, and why."""

    def forget(self) -> None:
        """Let every flow wait until the next `refresh`."""
        self._activations = []
        for flow in self.flows:
            self._decoders.put_in_force(flow, ())

    @property
    def is_waiting(self) -> bool:
        """Whether some flow could go on with what the store may have by now."""
        return any(not flow.active or flow.barrier is not None for flow in self.flows)

    @property
    def counted(self) -> list[Activation]:
        """What the rows in memory are counted by."""
        return _of(self._activations, {flow.model for flow in self.flows if flow.active})

    @property
    def collecting(self) -> list[str]:
        """The models whose reference is not complete."""
        return [flow.model for flow in self.flows if flow.role == "predictions" and flow.barrier is not None]

    def refresh(self, partitions: Iterable[PartitionState]) -> bool:
        """Let every model count by what is in force now; False when its rows in memory were counted by another spec."""
        with self._store.read() as conn:
            self.set_barriers(conn, partitions)
            activations = specs.active(conn)
            if activations == self._activations:
                self._say_unreadable(status.model_states_by_name(conn))
                return True
            counted = {flow.model for flow in self.flows if flow.active}
            if _of(activations, counted) != _of(self._activations, counted):
                return False
            bodies = {a.spec_hash: specs.load_spec(conn, a.spec_hash) for a in activations if a.model in self._models}
        self._put_in_force(activations, bodies)
        return True

    def _put_in_force(self, activations: list[Activation], bodies: Mapping[str, bytes | None]) -> None:
        self._activations = activations
        self.unreadable.clear()
        read: dict[str, Spec] = {}
        for flow in self.flows:
            own: list[ActiveSpec] = []
            try:
                for activation in activations:
                    body = bodies.get(activation.spec_hash)
                    if activation.model == flow.model and body is not None:
                        spec = read.get(activation.spec_hash) or Spec.from_bytes(body)
                        read[activation.spec_hash] = spec
                        own.append(ActiveSpec(activation.version, activation.from_pane, spec))
                self._decoders.put_in_force(flow, own)
            except StreamError as error:
                self.unreadable[flow.model] = str(error)
                self._decoders.put_in_force(flow, ())
        self._say_unreadable({})

    def _say_unreadable(self, known: Mapping[str, status.ModelState]) -> None:
        """Whoever looks after references takes a model whose reference is sound for one that runs: say it again."""
        for model, sentence in self.unreadable.items():
            if model not in known or known[model].reason != sentence:
                with self._store.write() as conn:
                    status.set_model_state(conn, model, "waiting", sentence, self._clock())

    def set_barriers(self, conn: Connection, partitions: Iterable[PartitionState]) -> None:
        """Let the flows of models whose reference is collected read as far as it can have reached."""
        barriers = collecting.barriers(conn)
        for flow in self.flows:
            flow.stop_at(barriers.get(flow.model))
        for partition in partitions:
            for cursor in partition.cursors.values():
                barrier = cursor.flow.barrier
                if cursor.held_at is not None and (barrier is None or cursor.held_at < barrier):
                    cursor.held_at = None


def _of(activations: Sequence[Activation], models: Collection[str]) -> list[Activation]:
    return [activation for activation in activations if activation.model in models]
