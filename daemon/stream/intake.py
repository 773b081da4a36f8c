"""Intake: the thread that polls Kafka, counts, and writes checkpoints. It waits for nothing else.

On any doubt (a lost fence, another spec, a topic that was made anew) it throws its memory away, reads the store's
positions again and counts from there. Nothing of what it holds in memory is needed to be right.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from daemon import crashpoints
from daemon.config.settings import Settings
from daemon.config.windows import micros
from daemon.store import Connection, collecting, panes, positions, specs, status, watermarks
from daemon.store.dead_letters import DeadLetter
from daemon.store.errors import FenceLost, StoreUnavailable
from daemon.store.specs import Activation
from daemon.store.store import Store
from daemon.stream import checkpoint, places
from daemon.stream.batches import Versions, count_batch
from daemon.stream.buffer import Buffer
from daemon.stream.consumer import Cluster, Committer, Consumer, Topic
from daemon.stream.errors import KafkaUnreachable, SpecsChanged, StreamError, TopicsMissing
from daemon.stream.faults import Fault, diagnose
from daemon.stream.flows import ActiveSpec, Decoders, flows_of
from daemon.stream.notes import KAFKA, PARTITIONS, TOPICS, Notes
from daemon.stream.partitions import PartitionState
from daemon.stream.spec import Spec
from detectors.instants import Micros

log = logging.getLogger("driftd.stream")

_COLLECT_AFTER = 50_000
_SUSPECT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things are done, in seconds, and how much is held; for tests to hurry."""

    poll: float = 0.2
    gather: float = 0.5
    topics: float = 30.0
    specs: float = 0.5
    retry: float = 1.0
    absent: float = 10.0
    watermark: float = 0.25
    buffer_bytes: int = 64 << 20
    poll_records: int = 1_000


class Intake:
    """Reads every model's topics into the store until it is stopped, or with `until_end` until their ends.

    `wake` is called after each checkpoint. `abandoned` names models that will get no spec in this run; an `until_end`
    run does not wait for those. Run it in a thread of its own: `run` returns when all is written and closed.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        clock: Callable[[], Micros],
        wake: Callable[[], None] = lambda: None,
        until_end: bool = False,
        abandoned: Callable[[], Collection[str]] = tuple,
        pace: Pace | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._wake = wake
        self._until_end = until_end
        self._abandoned = abandoned
        self._pace = pace or Pace()
        self._interval = settings.store.checkpoint.total_seconds()
        self._stopping = threading.Event()
        self._flows = flows_of(settings.models)
        self._topics = {topic for flow in self._flows for topic in flow.topics}
        self._notes = Notes(store, clock)
        self._decoders = Decoders()
        self._buffer = Buffer()
        self._versions = Versions({})
        self._activations: list[Activation] = []
        self._partitions: dict[TopicPartition, PartitionState] = {}
        self._known: dict[str, Topic] = {}
        self._consumer: Consumer | None = None
        self._committer = Committer(
            settings.kafka, group=f"driftd-{settings.installation}", client_id=f"driftd-{settings.installation}"
        )
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._suspects: list[TopicPartition] = []
        self._suspected_since = 0.0
        self._gone: Collection[str] = ()
        self._absent_since: float | None = None
        self._unreadable: dict[str, str] = {}
        self._windows: dict[str, int] = {}
        self._last_trouble = ""
        self._is_loaded = False
        self._paused = ""
        self._is_due = False
        self._run_ends: dict[TopicPartition, int] | None = None
        now = time.monotonic()
        self._last_checkpoint = self._last_topics = self._last_specs = now - 1e9
        self._not_before = self._commit_not_before = now - 1e9
        self.last_poll = now
        """When polling last came round, on the monotonic clock: the loop's sign of life."""
        self.done = False
        """Whether an `until_end` run has read everything and written it."""

    # What others may ask, from any thread

    def stop(self) -> None:
        """Ask the loop to write what it has and end; returns at once."""
        self._stopping.set()

    def lag(self) -> dict[str, int]:
        """For each model how many offsets its partitions' ends are ahead, as of the last checkpoint."""
        lags = dict.fromkeys(self._settings.models, 0)
        for partition in list(self._partitions.values()):
            if partition.end_offset is not None:
                for cursor in list(partition.cursors.values()):
                    lags[cursor.flow.model] += max(0, partition.end_offset - cursor.next_offset)
        return lags

    @property
    def buffer_bytes(self) -> int:
        """About how much memory waits for the next checkpoint."""
        return self._buffer.nbytes

    @property
    def paused(self) -> str:
        """While the store cannot be used, so that nothing is read: a sentence that says why; else empty."""
        return self._paused

    # The loop

    def run(self) -> None:
        """Read until stopped, or to the end; then write the last checkpoint and close."""
        # A batch makes thousands of objects and drops them again: none is garbage in circles, and to look for that
        # after every 700 of them costs a tenth of the time.
        gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
        try:
            while not self._stopping.is_set() and not self.done:
                try:
                    self._turn()
                except KafkaUnreachable as error:
                    self._notes.say(KAFKA, str(error))
                    self._rest()
                except StoreUnavailable as error:
                    self._without_store(error)
                    self._rest()
                except FenceLost as error:
                    self._forget(str(error))
                self.last_poll = time.monotonic()
            if not self.done and self._is_loaded and self._consumer is not None:
                self._checkpoint()
        finally:
            self._committer.close()
            self._close()

    def _turn(self) -> None:
        if not self._is_loaded:
            self._load()
        if self._consumer is None:
            self._connect()
        now = time.monotonic()
        if now - self._last_specs >= self._pace.specs and any(
            not flow.active or flow.barrier is not None for flow in self._flows
        ):
            self._refresh_specs()
            if not self._is_loaded:
                return
        if now - self._last_topics >= self._pace.topics or (
            self._missing() and now - self._last_topics >= self._pace.retry
        ):
            self._refresh_topics()
            if not self._is_loaded:
                return
        self._assign()
        self._poll()
        if self._consumer is None:
            return
        ends_here = self._until_end and self._is_at_end()
        if (ends_here or self._checkpoint_is_due()) and time.monotonic() >= self._not_before:
            self.done = self._checkpoint() and ends_here

    def _rest(self) -> None:
        self._stopping.wait(self._pace.retry)

    # State from the store

    def _load(self) -> None:
        """Throw memory away and start from what the store has."""
        self._buffer.empty(keep=False)
        self._partitions.clear()
        self._known.clear()
        self._windows.clear()
        self._assigned = frozenset()
        self._last_topics = time.monotonic() - 1e9
        with self._store.read() as conn:
            seen = {name: {pane.version for pane in panes.pane_rows(conn, name)} for name in self._settings.models}
        self._versions = Versions(seen)
        self._refresh_specs()
        self._is_loaded = True

    def _refresh_specs(self) -> None:
        """Let every model count by the specs that the store says are in force."""
        self._last_specs = time.monotonic()
        with self._store.read() as conn:
            self._set_barriers(conn)
            activations = specs.active(conn)
            if activations == self._activations:
                self._say_unreadable(status.model_states_by_name(conn))
                return
            counted = {flow.model for flow in self._flows if flow.active}
            if _of(activations, counted) != _of(self._activations, counted):
                self._forget("Another spec came into force.")
                return
            bodies = {
                a.spec_hash: specs.load_spec(conn, a.spec_hash) for a in activations if a.model in self._settings.models
            }
        self._activations = activations
        self._unreadable.clear()
        read: dict[str, Spec] = {}
        for flow in self._flows:
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
                self._unreadable[flow.model] = str(error)
                self._decoders.put_in_force(flow, ())
        self._say_unreadable({})

    def _say_unreadable(self, known: Mapping[str, status.ModelState]) -> None:
        """Whoever looks after references takes a model whose reference is sound for one that runs: say it again."""
        for model, sentence in self._unreadable.items():
            if model not in known or known[model].reason != sentence:
                with self._store.write() as conn:
                    status.set_model_state(conn, model, "waiting", sentence, self._clock())

    def _set_barriers(self, conn: Connection) -> None:
        """Let the flows of models whose reference is collected read as far as it can have reached."""
        barriers = collecting.barriers(conn)
        for flow in self._flows:
            flow.stop_at(barriers.get(flow.model))
        for partition in self._partitions.values():
            for cursor in partition.cursors.values():
                barrier = cursor.flow.barrier
                if cursor.held_at is not None and (barrier is None or cursor.held_at < barrier):
                    cursor.held_at = None

    def _forget(self, why: str) -> None:
        """Drop everything that is not in the store, and read again from where the store stands."""
        log.info("%s Counting again from the last checkpoint.", why)
        self._is_loaded = False
        self._activations = []
        for flow in self._flows:
            self._decoders.put_in_force(flow, ())
        self._close()

    def _connect(self) -> None:
        self._consumer = Consumer(
            self._settings.kafka,
            client_id=f"driftd-{self._settings.installation}",
            max_poll_records=self._pace.poll_records,
        )
        self._assigned = frozenset()
        self._notes.say(KAFKA, None)

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
        self._assigned = frozenset()

    @property
    def _kafka(self) -> Consumer:
        assert self._consumer is not None
        return self._consumer

    # Topics and partitions

    def _missing(self) -> set[str]:
        return self._topics - self._known.keys()

    def _refresh_topics(self) -> None:
        """Look which topics and partitions there are, and take the new ones.

        Raises:
            TopicsMissing: a run that ends by itself has waited long enough for them.
        """
        self._last_topics = time.monotonic()
        if self._run_ends is not None and not self._has_forgotten() and not self._gone:
            return
        try:
            cluster = self._kafka.describe(self._topics)
            if any(self._is_new(topic) for topic in cluster.topics.values()):
                # The client, too, still holds what it knew of the old one: epochs, fetch sessions, records.
                self._forget("A topic was deleted and created again.")
                return
            absent = self._absent(cluster)
            self._notes.say_all(
                TOPICS, {name: f"The topic {name} {what}: it is waited for." for name, what in absent.items()}
            )
            if self._until_end and absent:
                # Where the run ends is known only with every topic: until then nothing is read.
                self._wait_for_topics(absent)
                return
            self._absent_since = None
            for name in self._known.keys() - cluster.topics.keys():
                log.warning("The topic %s is gone.", name)
                self._drop_topic(name)
            for topic in cluster.topics.values():
                self._take(cluster, topic)
            if self._until_end:
                self._set_run_ends()
        except KafkaError as error:
            raise KafkaUnreachable(f"Kafka does not answer: {error}") from error
        self._note_stopped()

    def _absent(self, cluster: Cluster) -> dict[str, str]:
        """The topics that cannot be read now, each with what is the matter."""
        forbidden = dict.fromkeys(cluster.forbidden, "may not be read by driftd (check its ACLs)")
        unsettled = dict.fromkeys(cluster.unsettled, "has no leader yet")
        missing = dict.fromkeys(sorted(self._topics - cluster.topics.keys()), "does not exist yet")
        return missing | unsettled | forbidden

    def _wait_for_topics(self, absent: Mapping[str, str]) -> None:
        now = time.monotonic()
        self._absent_since = now if self._absent_since is None else self._absent_since
        waited = now - self._absent_since
        if waited >= self._pace.absent:
            named = "; ".join(f"{name} {what}" for name, what in absent.items())
            raise TopicsMissing(
                f"the run ends: after {waited:.0f} s it still waits for its topics ({named}); make them, or correct "
                "`topic` in the configuration"
            )

    def _note_stopped(self) -> None:
        """Say which partitions are not read any more, and why."""
        stopped = {f"{at.topic}.{at.partition}": state.stopped for at, state in self._partitions.items()}
        self._notes.say_all(PARTITIONS, {key: sentence for key, sentence in stopped.items() if sentence is not None})

    def _is_new(self, topic: Topic) -> bool:
        known = self._known.get(topic.name)
        return known is not None and known.id != topic.id

    def _drop_topic(self, name: str) -> None:
        """Stop reading a topic that is gone; what was read of it has to be written first."""
        if any(at.topic == name for at in self._partitions) and not self._buffer.is_empty:
            self._checkpoint()
        self._known.pop(name, None)
        self._partitions = {at: state for at, state in self._partitions.items() if at.topic != name}

    def _take(self, cluster: Cluster, topic: Topic) -> None:
        fresh = [
            PartitionState(TopicPartition(topic.name, number), cluster.id, topic.id)
            for number in topic.partitions
            if TopicPartition(topic.name, number) not in self._partitions
        ]
        if fresh:
            places.place(self._store, self._kafka, self._flows, fresh, self._clock())
            self._partitions |= {state.at: state for state in fresh}
        self._known[topic.name] = topic

    def _has_forgotten(self) -> bool:
        """Whether the partitions that the run began with have to be taken again."""
        return bool(self._run_ends) and not self._partitions

    def _set_run_ends(self) -> None:
        # Whoever reads again after a doubt stops where the run was to stop; what has come since is not of this run.
        if self._run_ends is None:
            self._run_ends = self._kafka.ends(list(self._partitions))
        for at, state in self._partitions.items():
            state.run_end = self._run_ends.get(at, state.read)
        with self._store.write() as conn:
            positions.save_partitions(conn, [state.record() for state in self._partitions.values()])

    # Reading

    def _assign(self) -> None:
        """Read exactly the partitions that some flow can count; each from the lowest offset that is still wanted."""
        wanted = {at: state for at, state in self._partitions.items() if state.is_read}
        behind = [state for state in wanted.values() if state.lowest() < state.read]
        if frozenset(wanted) == self._assigned and not behind:
            return
        for state in wanted.values():
            state.read = state.lowest()
        self._kafka.assign({at: state.read for at, state in wanted.items()})
        self._assigned = frozenset(wanted)
        if self._paused:
            self._kafka.pause(self._assigned)

    def _poll(self) -> None:
        if not self._assigned:
            self._stopping.wait(self._pace.poll)
            return
        suspect = self._single_out()
        try:
            found = self._kafka.poll(int(self._pace.poll * 1000))
        except Exception as error:  # noqa: BLE001  kafka-python raises whatever a codec or struct raises
            self._cure(error, suspect)
            return
        if suspect is not None and (found or time.monotonic() - self._suspected_since > _SUSPECT_SECONDS):
            self._suspects.pop(0)
            self._suspected_since = time.monotonic()
            if not self._suspects:
                self._kafka.resume(self._assigned)
        now = self._clock()
        for at, records in found.items():
            state = self._partitions[at]
            if state.run_end is not None and records[-1].offset >= state.run_end:
                records = [record for record in records if record.offset < state.run_end]
            if records and records[-1].offset >= state.read:
                held = len(state.active) - len(state.reading)
                count_batch(state, records, self._buffer, self._versions, now)
                self._watch_windows(state)
                # A flow that is held waits for what this checkpoint decides.
                self._is_due |= len(state.active) - len(state.reading) > held
        if not found:
            self._step_over_gaps()
        elif not self._until_end and self._is_caught_up(sum(map(len, found.values()))):
            # A batch costs as much as thirty rows whatever is in it, so that a hundred partitions read row by row would
            # take a whole core: a moment later each of them has more.
            self._stopping.wait(min(self._pace.gather, self._interval / 20))

    def _is_caught_up(self, found: int) -> bool:
        """Whether less is left than one poll hands out, by what the last fetches told: one may be short by chance."""
        few = self._pace.poll_records
        return found < few and self._kafka.left({at: self._partitions[at].read for at in self._assigned}) < few

    def _step_over_gaps(self) -> None:
        """Pass transaction markers and what compaction took: no row will ever come from there."""
        for at in self._assigned:
            passed = self._kafka.passed(at)
            state = self._partitions[at]
            if passed is not None and passed > state.read:
                state.step_over(passed if state.run_end is None else min(passed, max(state.read, state.run_end)))

    def _watch_windows(self, state: PartitionState) -> None:
        """A checkpoint is due when the lowest data watermark of a model crosses the end of a window."""
        for cursor in state.active:
            flow = cursor.flow
            if flow.role != "predictions":
                continue
            marks = [
                other.data_watermark
                for partition in self._partitions.values()
                if (other := partition.cursors.get(flow.key)) is not None and other.data_watermark is not None
            ]
            if marks:
                window = min(marks) // micros(flow.settings.window.every)
                if window > self._windows.setdefault(flow.model, window):
                    self._windows[flow.model] = window
                    self._is_due = True

    # Trouble while reading

    def _single_out(self) -> TopicPartition | None:
        """While it is not known which partition a broken batch is in, they are read one at a time."""
        self._suspects = [at for at in self._suspects if at in self._assigned]
        if not self._suspects or self._paused:
            return None
        self._kafka.pause(self._assigned - {self._suspects[0]})
        self._kafka.resume([self._suspects[0]])
        return self._suspects[0]

    def _cure(self, error: Exception, suspect: TopicPartition | None) -> None:
        diagnosis = diagnose(error)
        partitions = [at for at in diagnosis.partitions if at in self._assigned]
        if diagnosis.sentence != self._last_trouble:  # a broken batch says the same for each of its offsets
            log.warning("Reading from Kafka failed (%s): %s", diagnosis.fault.value, diagnosis.sentence)
        self._last_trouble = diagnosis.sentence
        match diagnosis.fault:
            case Fault.PASSING:
                self._stopping.wait(self._pace.poll)
            case Fault.BROKEN if partitions or suspect is not None:
                for at in partitions or [suspect]:
                    self._skip_broken(at, diagnosis.sentence)
                self._suspected_since = time.monotonic()
            case Fault.BROKEN:
                # To poll again would spin for ever, and to seek back to where it stands changes nothing for the client:
                # a new one reads the partitions one at a time, until it is known which it is.
                self._suspects = sorted(self._assigned)
                self._suspected_since = time.monotonic()
                self._close()
            case Fault.OUT_OF_RANGE if partitions:
                self._out_of_range(partitions)
            case Fault.TRUNCATED if partitions:
                # kafka-python says it once and then reads on. A topic made anew looks the same.
                if not self._verify():
                    self._forget("The log has lost rows.")
                    return
                for at in partitions:
                    self._partitions[at].stopped = f"{at.topic}[{at.partition}] has lost rows that were read: {error}"
                self._note_stopped()
            case _:
                self._close()
                self._stopping.wait(self._pace.retry)

    def _skip_broken(self, at: TopicPartition, sentence: str) -> None:
        """Give up one offset of a batch that cannot be read; the next poll fails again until the batch is behind."""
        state = self._partitions[at]
        offset = max(state.read, self._kafka.passed(at) or 0)
        models = {cursor.flow.model for cursor in state.reading if cursor.next_offset <= offset}
        self._buffer.add_dead_letter(
            DeadLetter(
                model=next(iter(models)) if len(models) == 1 else None,
                topic=at.topic,
                partition=at.partition,
                offset=offset,
                offset_end=offset + 1,
                reason="broken batch",
                detail=f"Kafka's batch cannot be read: {sentence}",
                payload=None,
                at=self._clock(),
            )
        )
        for model in models:
            self._buffer.books[model].update({"messages": 1, "dead_lettered": 1})
        state.step_over(offset + 1)
        self._kafka.seek(at, offset + 1)

    def _out_of_range(self, partitions: Sequence[TopicPartition]) -> None:
        """Retention has passed an offset while it was waited for, or the log is shorter than what was read."""
        try:
            begins, ends = self._kafka.beginnings(partitions), self._kafka.ends(partitions)
        except KafkaError as error:
            raise KafkaUnreachable(f"Kafka does not answer: {error}") from error
        if not self._checkpoint():
            return
        now = self._clock()
        for at in partitions:
            state = self._partitions[at]
            recorded = [gap for cursor in state.active for gap in places.fit(state, cursor, begins[at], ends[at], now)]
            state.read = state.lowest()
            places.write(self._store, [state], recorded)
            self._kafka.seek(at, state.read)
        self._note_stopped()

    # Writing

    def _checkpoint_is_due(self) -> bool:
        since = time.monotonic() - self._last_checkpoint
        if self._paused:
            return since >= self._pace.retry
        return (
            since >= self._interval
            or self._buffer.nbytes >= self._pace.buffer_bytes
            or (self._is_due and since >= self._pace.watermark)
        )

    def _checkpoint(self) -> bool:
        """Write everything; False when it could not be, and has been thrown away or is kept for the next try."""
        if not self._verify():
            return False
        self._step_over_gaps()
        ends = self._ends()
        now = self._clock()
        partitions = list(self._partitions.values())
        for state in partitions:
            state.end_offset = ends.get(state.at, state.end_offset)
        try:
            prepared = checkpoint.prepare(self._store, self._buffer)
            checkpoint.write(
                self._store,
                self._buffer,
                prepared,
                partitions,
                activations=_of(self._activations, {flow.model for flow in self._flows if flow.active}),
                attested=frozenset(ends),
                now=now,
                watermark=self._watermark,
                collecting=self._collecting(),
            )
        except FenceLost as error:
            self._forget(str(error))
            return False
        except SpecsChanged as error:
            self._forget(str(error))
            return False
        except StoreUnavailable as error:
            self._without_store(error)
            return False
        self._buffer.empty(keep=True)
        self._is_due = False
        self._last_checkpoint = time.monotonic()
        if self._paused:
            self._with_store()
        if self._collecting():
            with self._store.read() as conn:
                self._set_barriers(conn)
        self._wake()
        self._commit(partitions)
        return True

    def _collecting(self) -> list[str]:
        """The models whose reference is not complete."""
        return [flow.model for flow in self._flows if flow.role == "predictions" and flow.barrier is not None]

    def _watermark(self, conn: Connection, model: str) -> Micros | None:
        settings = self._settings.models[model]
        return watermarks.effective_watermark(
            conn,
            model,
            topics=settings.predictions.topic,
            clock=self._settings.clock,
            watermark_delay=micros(settings.window.watermark_delay),
        )

    def _verify(self) -> bool:
        """Whether the topics are still those that the buffered rows came from; only then may they be written."""
        try:
            cluster = self._kafka.describe(self._topics)
        except KafkaError as error:
            log.info("The topics cannot be verified, so the checkpoint waits: %s", error)
            self._not_before = time.monotonic() + self._pace.retry
            self._relieve()
            return False
        if any(self._is_new(topic) for topic in cluster.topics.values()):
            self._forget("A topic was deleted and created again.")
            return False
        self._gone = self._known.keys() - cluster.topics.keys()
        if self._gone:
            self._last_topics = time.monotonic() - 1e9
        self._relieve(over=True)
        return True

    def _relieve(self, *, over: bool = False) -> None:
        """Keep the buffer bounded while checkpoints have to wait."""
        if not over and self._buffer.nbytes >= self._pace.buffer_bytes:
            self._kafka.pause(self._assigned)
        elif over and not self._paused and not self._suspects and self._kafka.paused():
            self._kafka.resume(self._assigned)

    def _ends(self) -> dict[TopicPartition, int]:
        """Where the partitions end now, as far as Kafka says so at once."""
        there = [at for at in self._partitions if at.topic not in self._gone]
        try:
            return self._kafka.ends(there, timeout_ms=1_000)
        except KafkaError as error:
            log.info("The ends of the partitions are not known: %s", error)
            return {}

    def _without_store(self, error: StoreUnavailable) -> None:
        """Hand out nothing more, keep the buffer, and try again: polling goes on so that Kafka stays connected.

        Why nothing is read is said where it can be seen without the store.
        """
        self._last_checkpoint = time.monotonic()
        if not self._paused:
            log.warning("The store cannot be used, intake is paused: %s", error)
        self._paused = f"Nothing is read while the store cannot be used. {error}"
        self._store.tell(self._paused, self._clock())
        if self._consumer is not None:
            self._consumer.pause(self._assigned)

    def _with_store(self) -> None:
        self._paused = ""
        self._store.tell("", self._clock())
        self._kafka.resume(self._assigned)
        log.info("The store can be used again; intake goes on.")

    def _commit(self, partitions: Sequence[PartitionState]) -> None:
        """Tell Kafka how far the store has come."""
        crashpoints.reach("checkpoint.before_commit")
        if time.monotonic() >= self._commit_not_before:
            offsets = {
                state.at: min(c.next_offset for c in state.cursors.values()) for state in partitions if state.cursors
            }
            if not self._committer.commit(offsets):
                self._commit_not_before = time.monotonic() + 60
        crashpoints.reach("checkpoint.after_commit")

    # The end of a run

    def _is_at_end(self) -> bool:
        """Whether every flow that will ever count has read to the ends that were known at the start."""
        if self._run_ends is None or self._has_forgotten():
            return False
        given_up = set(self._unreadable) | set(self._abandoned())
        if any(not flow.active and flow.model not in given_up for flow in self._flows):
            return False
        if self._held() - given_up:
            return False
        return all(state.at_run_end or state.stopped for state in self._partitions.values() if state.active)

    def _held(self) -> set[str]:
        """The models that will still read on in this run, once something is decided or stored.

        Labels that lie beyond what a reference can have reached wait for ever when no more predictions come.
        """
        held = {role: set[str]() for role in ("predictions", "labels")}
        for state in self._partitions.values():
            for cursor in state.cursors.values():
                if cursor.held_at is not None:
                    held[cursor.flow.role].add(cursor.flow.model)
        return held["predictions"] | (held["labels"] - set(self._collecting()))


def _of(activations: Sequence[Activation], models: Collection[str]) -> list[Activation]:
    return [activation for activation in activations if activation.model in models]
