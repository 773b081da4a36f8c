"""Intake: the thread that polls Kafka, counts, and writes checkpoints. It waits for nothing else.

On any doubt (a lost fence, another spec, a topic that was made anew) it throws its memory away, reads the store's
positions again and counts from there. Nothing of what it holds in memory is needed to be right.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence

from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from daemon import crashpoints
from daemon.config.settings import Settings
from daemon.config.windows import micros
from daemon.store import Connection, panes, watermarks
from daemon.store.errors import FenceLost, StoreUnavailable
from daemon.store.store import Store
from daemon.stream import checkpoint, places
from daemon.stream.assignment import Assignment
from daemon.stream.batches import Versions, count_batch
from daemon.stream.broken import BrokenBatches
from daemon.stream.buffer import Buffer
from daemon.stream.consumer import Committer, Consumer
from daemon.stream.errors import KafkaUnreachable, SpecsChanged
from daemon.stream.faults import Fault, diagnose
from daemon.stream.in_force import SpecsInForce
from daemon.stream.notes import KAFKA, Notes
from daemon.stream.pace import Due, Pace
from daemon.stream.partitions import PartitionState
from daemon.stream.run_end import RunEnd
from daemon.stream.topics import AbsentTopics
from detectors.instants import Micros

log = logging.getLogger("driftd.stream")

_COLLECT_AFTER = 50_000


class Intake:
    """Reads every model's topics into the store until it is stopped, or with `until_end` until their ends.

    `wake` is called after each checkpoint. `abandoned` names models that will get no spec in this run; an `until_end`
    run does not wait for those. Without `commits` Kafka is not told how far it is. Run it in a thread of its own: `run`
    returns when all is written and closed.
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
        consumer: Callable[..., Consumer] = Consumer,
        commits: bool = True,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._wake = wake
        self._until_end = until_end
        self._abandoned = abandoned
        self._pace = pace or Pace()
        self._open = consumer
        self._commits = commits
        self._interval = settings.store.checkpoint.total_seconds()
        self._stopping = threading.Event()
        self._notes = Notes(store, clock)
        self._specs = SpecsInForce(settings.models, store, clock)
        self._read = Assignment(self._specs.flows, store, self._notes, clock)
        self._absent = AbsentTopics(self._read.topics, self._notes, self._pace.absent)
        self._run_end = RunEnd()
        self._broken = BrokenBatches()
        self._due = Due(self._pace, self._interval)
        self._buffer = Buffer()
        self._versions = Versions({})
        self._consumer: Consumer | None = None
        self._committer = Committer(
            settings.kafka, group=f"driftd-{settings.installation}", client_id=f"driftd-{settings.installation}"
        )
        self._last_fault = ""
        self._is_loaded = False
        now = time.monotonic()
        self._last_topics = self._last_specs = now - 1e9
        self.paused = ""
        """While the store cannot be used, so that nothing is read: a sentence that says why; else empty."""
        self.last_poll = now
        """When polling last came round, on the monotonic clock: the loop's sign of life."""
        self.done = False
        """Whether an `until_end` run has read everything and written it."""

    def stop(self) -> None:
        """Ask the loop to write what it has and end; returns at once, from any thread."""
        self._stopping.set()

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
        if self._specs.is_waiting and now - self._last_specs >= self._pace.specs:
            self._refresh_specs()
            if not self._is_loaded:
                return
        if now - self._last_topics >= self._pace.topics or (
            self._read.missing and now - self._last_topics >= self._pace.retry
        ):
            self._refresh_topics()
            if not self._is_loaded:
                return
        if self._read.assign(self._kafka) and self.paused:
            self._kafka.pause(self._read.assigned)
        self._poll()
        if self._consumer is None:
            return
        ends_here = self._until_end and self._is_at_end()
        is_due = ends_here or self._due.now(self._buffer.nbytes, is_paused=bool(self.paused))
        if is_due and self._due.may_be_tried:
            self.done = self._checkpoint() and ends_here

    def _is_at_end(self) -> bool:
        return self._run_end.is_reached(
            self._specs.flows,
            self._read.partitions,
            given_up={*self._specs.unreadable, *self._abandoned()},
            collecting=self._specs.collecting,
        )

    def _rest(self) -> None:
        self._stopping.wait(self._pace.retry)

    # Beginning, and beginning again

    def _load(self) -> None:
        """Throw memory away and start from what the store has."""
        self._buffer.empty(keep=False)
        self._read.forget()
        self._due.forget_windows()
        self._last_topics = time.monotonic() - 1e9
        with self._store.read() as conn:
            seen = {name: {pane.version for pane in panes.pane_rows(conn, name)} for name in self._settings.models}
        self._versions = Versions(seen)
        self._refresh_specs()
        self._is_loaded = True

    def _refresh_specs(self) -> None:
        self._last_specs = time.monotonic()
        if not self._specs.refresh(self._read.partitions):
            self._forget("Another spec came into force.")

    def _forget(self, why: str) -> None:
        """Drop everything that is not in the store, and read again from where the store stands."""
        log.info("%s Counting again from the last checkpoint.", why)
        self._is_loaded = False
        self._specs.forget()
        self._close()

    def _connect(self) -> None:
        self._consumer = self._open(
            self._settings.kafka,
            client_id=f"driftd-{self._settings.installation}",
            max_poll_records=self._pace.poll_records,
        )
        self._read.assigned = frozenset()
        self._notes.say(KAFKA, None)

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
        self._read.assigned = frozenset()

    @property
    def _kafka(self) -> Consumer:
        assert self._consumer is not None
        return self._consumer

    def _refresh_topics(self) -> None:
        """Look which topics and partitions there are, and take the new ones.

        Raises:
            TopicsMissing: a run that ends by itself has waited long enough for them.
        """
        self._last_topics = time.monotonic()
        if self._run_end.is_set(self._read.partitions) and not self._read.gone:
            return
        try:
            cluster = self._kafka.describe(self._read.topics)
            if self._read.is_made_anew(cluster):
                # The client, too, still holds what it knew of the old one: epochs, fetch sessions, records.
                self._forget("A topic was deleted and created again.")
                return
            if self._absent.look(cluster) and self._until_end:
                # Where the run ends is known only with every topic: until then nothing is read.
                self._absent.wait()
                return
            if self._read.look_for_gone(cluster):
                if not self._buffer.is_empty and not self._checkpoint():
                    return
                self._read.drop_gone(self._kafka)
            self._read.take(self._kafka, cluster)
            if self._until_end:
                self._run_end.set(self._kafka, self._store, self._read.partitions)
        except KafkaError as error:
            raise KafkaUnreachable(self._kafka.why(error)) from error
        self._read.note_stopped()

    # Reading

    def _poll(self) -> None:
        if not self._read.assigned:
            self._stopping.wait(self._pace.poll)
            return
        suspect = None if self.paused else self._broken.single_out(self._kafka, self._read.assigned)
        try:
            found = self._kafka.poll(int(self._pace.poll * 1000))
        except Exception as error:  # noqa: BLE001  kafka-python raises whatever a codec or struct raises
            self._cure(error, suspect)
            return
        if suspect is not None:
            self._broken.clear(self._kafka, self._read.assigned, has_rows=bool(found))
        now = self._clock()
        for at, records in found.items():
            state = self._read.states[at]
            if state.run_end is not None and records[-1].offset >= state.run_end:
                records = [record for record in records if record.offset < state.run_end]
            if records and records[-1].offset >= state.read:
                held = len(state.active) - len(state.reading)
                count_batch(state, records, self._buffer, self._versions, now)
                self._due.watch(state, self._read.partitions)
                if len(state.active) - len(state.reading) > held:
                    # A flow that is held waits for what the checkpoint decides.
                    self._due.hurry()
        if not found:
            self._read.step_over_gaps(self._kafka)
        elif not self._until_end and self._is_caught_up(sum(map(len, found.values()))):
            # A batch costs as much as thirty rows whatever is in it, so that a hundred partitions read row by row would
            # take a whole core: a moment later each of them has more.
            self._stopping.wait(min(self._pace.gather, self._interval / 20))

    def _is_caught_up(self, found: int) -> bool:
        """Whether less is left than one poll hands out, by what the last fetches told: one may be short by chance."""
        return found < self._pace.poll_records and self._read.left(self._kafka) < self._pace.poll_records

    def _cure(self, error: Exception, suspect: TopicPartition | None) -> None:
        """Do what has to be done before polling again."""
        diagnosis = diagnose(error)
        partitions = [at for at in diagnosis.partitions if at in self._read.assigned]
        if diagnosis.sentence != self._last_fault:  # a broken batch says the same for each of its offsets
            log.warning("Reading from Kafka failed (%s): %s", diagnosis.fault.value, diagnosis.sentence)
        self._last_fault = diagnosis.sentence
        match diagnosis.fault:
            case Fault.PASSING:
                self._stopping.wait(self._pace.poll)
            case Fault.BROKEN if partitions or suspect is not None:
                for at in partitions or [suspect]:
                    state = self._read.states[at]
                    self._broken.skip(self._kafka, state, self._buffer, diagnosis.sentence, self._clock())
            case Fault.BROKEN:
                # To poll again would spin for ever, and to seek back to where it stands changes nothing for the client:
                # a new one reads the partitions one at a time, until it is known which it is.
                self._broken.suspect(self._read.assigned)
                self._close()
            case Fault.OUT_OF_RANGE if partitions:
                self._out_of_range(partitions)
            case Fault.TRUNCATED if partitions:
                # kafka-python says it once and then reads on. A topic made anew looks the same.
                if not self._verify():
                    self._forget("The log has lost rows.")
                    return
                for at in partitions:
                    self._read.states[at].stopped = f"{at.topic}[{at.partition}] has lost rows that were read: {error}"
                self._read.note_stopped()
            case _:
                self._close()
                self._stopping.wait(self._pace.retry)

    def _out_of_range(self, partitions: Sequence[TopicPartition]) -> None:
        """Retention has passed an offset while it was waited for, or the log is shorter than what was read."""
        try:
            begins, ends = self._kafka.beginnings(partitions), self._kafka.ends(partitions)
        except KafkaError as error:
            raise KafkaUnreachable(self._kafka.why(error)) from error
        if not self._checkpoint():
            return
        now = self._clock()
        for at in partitions:
            state = self._read.states[at]
            recorded = [gap for cursor in state.active for gap in places.fit(state, cursor, begins[at], ends[at], now)]
            state.read = state.lowest()
            places.write(self._store, [state], recorded)
            self._kafka.seek(at, state.read)
        self._read.note_stopped()

    # Writing

    def _checkpoint(self) -> bool:
        """Write everything; False when it could not be, and has been thrown away or is kept for the next try."""
        if not self._verify():
            return False
        self._read.step_over_gaps(self._kafka)
        ends = self._read.ends(self._kafka)
        now = self._clock()
        partitions = list(self._read.partitions)
        for state in partitions:
            state.end_offset = ends.get(state.at, state.end_offset)
        try:
            prepared = checkpoint.prepare(self._store, self._buffer)
            checkpoint.write(
                self._store,
                self._buffer,
                prepared,
                partitions,
                activations=self._specs.counted,
                attested=frozenset(ends),
                now=now,
                watermark=self._watermark,
                collecting=self._specs.collecting,
            )
        except (FenceLost, SpecsChanged) as error:
            self._forget(str(error))
            return False
        except StoreUnavailable as error:
            self._without_store(error)
            return False
        self._buffer.empty(keep=True)
        self._due.written()
        if self.paused:
            self._with_store()
        if self._specs.collecting:
            with self._store.read() as conn:
                self._specs.set_barriers(conn, partitions)
        self._wake()
        self._commit(partitions)
        return True

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
            cluster = self._kafka.describe(self._read.topics)
        except KafkaError as error:
            log.info("The topics cannot be verified, so the checkpoint waits: %s", error)
            self._notes.say(KAFKA, self._kafka.why(error))
            self._due.postpone()
            self._relieve()
            return False
        self._notes.say(KAFKA, None)
        if self._read.is_made_anew(cluster):
            self._forget("A topic was deleted and created again.")
            return False
        if self._read.look_for_gone(cluster):
            self._last_topics = time.monotonic() - 1e9
        self._relieve(over=True)
        return True

    def _relieve(self, *, over: bool = False) -> None:
        """Keep the buffer bounded while checkpoints have to wait."""
        if not over and self._buffer.nbytes >= self._pace.buffer_bytes:
            self._kafka.pause(self._read.assigned)
        elif over and not self.paused and not self._broken.is_searching and self._kafka.paused():
            self._kafka.resume(self._read.assigned)

    def _without_store(self, error: StoreUnavailable) -> None:
        """Hand out nothing more, keep the buffer, and try again: polling goes on so that Kafka stays connected.

        Why nothing is read is said where it can be seen without the store.
        """
        self._due.tried()
        if not self.paused:
            log.warning("The store cannot be used, intake is paused: %s", error)
        self.paused = f"Nothing is read while the store cannot be used. {error}"
        self._store.tell(self.paused, self._clock())
        if self._consumer is not None:
            self._consumer.pause(self._read.assigned)

    def _with_store(self) -> None:
        self.paused = ""
        self._store.tell("", self._clock())
        self._kafka.resume(self._read.assigned)
        log.info("The store can be used again; intake goes on.")

    def _commit(self, partitions: Sequence[PartitionState]) -> None:
        """Tell Kafka how far the store has come."""
        crashpoints.reach("checkpoint.before_commit")
        offsets = {
            state.at: min(c.next_offset for c in state.cursors.values()) for state in partitions if state.cursors
        }
        if self._commits:
            self._committer.commit(offsets)
        crashpoints.reach("checkpoint.after_commit")
