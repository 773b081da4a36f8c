"""The daemon's process: its threads, its signals, and the order in which they end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon import __version__
from daemon.cli.clock import wall_clock
from daemon.cli.errors import Exit
from daemon.cli.signals import Signals
from daemon.cli.specs import stored_specs
from daemon.config.settings import Settings
from daemon.deliver.sender import Sender
from daemon.schedule.compaction import Compactor
from daemon.schedule.evaluate import Evaluator
from daemon.schedule.live_references import LiveReferences
from daemon.schedule.maintenance import Upkeep
from daemon.schedule.recording import Recorder
from daemon.schedule.references import References
from daemon.schedule.ticks import Ticks
from daemon.schedule.traffic import Traffic
from daemon.schedule.workers import WorkerPool
from daemon.store import Store, StoreError, status
from daemon.stream.collection import collecting_spec
from daemon.stream.consumer import Consumer
from daemon.stream.errors import KafkaUnreachable, TopicsMissing
from daemon.stream.intake import Intake
from daemon.stream.spec import spec_of
from daemon.web.health import Beat, Health, overdue
from daemon.web.metrics import EvaluationTiming, Live, registry
from detectors.instants import MINUTE, SECOND, Micros

if TYPE_CHECKING:
    from daemon.web.server import WebServer

log = logging.getLogger("driftd")

DRAIN_SECONDS = 10.0
"""How long a daemon that is told to stop goes on delivering."""
DELIVER_SECONDS = 120.0
"""How long `run --until-end` waits for the last delivery."""
POLL_BOUND: Micros = MINUTE
SENDER_BOUND: Micros = MINUTE
SCHEDULE_BOUND: Micros = MINUTE
EVALUATION_BOUND: Micros = 10 * MINUTE


@dataclass(slots=True)
class _Thread:
    """A thread of the daemon, and what ended it if that was an error."""

    thread: threading.Thread
    error: BaseException | None = None

    def is_alive(self) -> bool:
        return self.thread.is_alive()


@dataclass(frozen=True, slots=True)
class Configured:
    """Settings to run by, None where there are none that could be, and what is wrong with the configuration."""

    settings: Settings | None
    problems: tuple[str, ...] = ()


class Process:
    """Everything that runs beside each other over one open store, by one configuration.

    `run` returns the exit code. When it has ended because the configuration was read anew, `successor` is what the next
    process is to run by: all that a model has come to is in the store, so a change is a restart without a new start.
    `consumer` and `commits` are for a replay, which reads files, or Kafka without telling it how far it is.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        until_end: bool,
        workers: int,
        signals: Signals,
        read_again: Callable[[Settings], Configured],
        problems: tuple[str, ...] = (),
        consumer: Callable[..., Consumer] = Consumer,
        commits: bool = True,
    ) -> None:
        self.successor: Configured | None = None
        self._settings = settings
        self._store = store
        self._until_end = until_end
        self._problems = problems
        self._signals = signals
        self._read_again = read_again
        self._stop = threading.Event()
        self._stop_sending = threading.Event()
        self._changed = threading.Event()
        # First, because it fails where the port is taken: nothing must be left behind then.
        self._web = self._web_server()
        self._pool = WorkerPool(workers)
        # Evidently needs hundreds of megabytes: one process, started when the first suite is run.
        self._suites = WorkerPool(1)
        specs = stored_specs()
        recorder = Recorder(settings)
        self._references = References(settings.models, store, self._pool, spec_of)
        self._live = LiveReferences(settings, store, self._pool, collecting_spec, spec_of)
        self._evaluator = Evaluator(settings, store, self._pool, specs, recorder, wall_clock, self._stop, self._suites)
        self._traffic = Traffic(settings, store, recorder, wall_clock)
        self._compactor = Compactor(store, self._pool, specs)
        self._upkeep = Upkeep(settings, store, wall_clock)
        self._sender = Sender(store, settings)
        self._intake = Intake(
            settings,
            store,
            clock=wall_clock,
            until_end=until_end,
            wake=self._after_checkpoint,
            abandoned=lambda: [*self._references.unusable(), *self._live.unusable()],
            consumer=consumer,
            commits=commits,
        )
        self._started_at = self._intake.last_poll
        self._ticks = Ticks()
        self._beat = wall_clock()

    def run(self) -> int:
        """Runs until a signal, or with `until_end` until everything that was there at the start is told."""
        self._signals.listen(self._on_signal)
        self._note_configuration()
        sending = self._start("sender", lambda: self._sender.run(self._stop_sending))
        if self._web is not None:
            self._web.start()
            log.info("listening on %s", self._web.address)
        if self._until_end:
            # What is read must not depend on how long a reference takes to read; a daemon need not wait for that.
            self._wait_for(self._start("references", self._refresh_references))
        self._schedule()
        reading = self._start("intake", self._intake.run)
        code: int = Exit.FINE
        try:
            self._wait_for(reading, sending)
            if reading.error is not None:
                code = self._failed(reading.error)
            elif sending.error is not None:
                code = self._failed(sending.error)
            elif self._until_end and not self._stop.is_set():
                code = self._finish()
        finally:
            self._end(reading, sending)
        return code

    def _schedule(self) -> None:
        ticks = self._ticks
        ticks.every(5, "heartbeat", self._heartbeat)
        ticks.every(1, "evaluation", self._evaluate)
        ticks.every(10, "references", lambda: self._references.refresh(wall_clock()), at_once=not self._until_end)
        ticks.every(1, "live references", lambda: self._live.refresh(wall_clock()), at_once=not self._until_end)
        ticks.every(10, "traffic", self._look)
        ticks.every(10, "compaction", lambda: self._compactor.run(wall_clock()))
        ticks.every(60, "labels", self._upkeep.expire_labels, at_once=False)
        ticks.every(3600, "retention", self._upkeep.retain, at_once=False)
        ticks.start()

    def _after_checkpoint(self) -> None:
        """The store can be written: what it would not take before is not left to wait for its usual turn."""
        if self._references.has_waited:
            self._ticks.soon("references")

    def _refresh_references(self) -> None:
        self._references.refresh(wall_clock())
        self._live.refresh(wall_clock())

    def _heartbeat(self) -> None:
        self._beat = wall_clock()

    def _evaluate(self) -> None:
        if self._evaluator.turn():
            self._sender.wake()

    def _look(self) -> None:
        if self._traffic.look():
            self._sender.wake()

    def _wait_for(self, *threads: _Thread) -> None:
        """Until a signal comes or one of the threads ends."""
        while not self._stop.is_set() and all(one.is_alive() for one in threads):
            # A wait without a bound would keep the main thread from running the signal handlers.
            self._changed.wait(1.0)
            self._changed.clear()
            if self._signals.reloading and not self._stop.is_set():
                self._signals.reloading = False
                self._reload()

    def _reload(self) -> None:
        """Reads the configuration anew; as long as it cannot be used, the one before goes on."""
        log.info("SIGHUP: reading the configuration anew")
        read = self._read_again(self._settings)
        for problem in read.problems:
            log.error("%s", problem)
        if read.settings is not None:
            self.successor = read
            self._stop.set()
            return
        log.error("the configuration cannot be used, the one before goes on")
        self._problems = read.problems
        self._note_configuration()

    def _finish(self) -> int:
        """Everything is read: evaluates what is due to the last window, and delivers."""
        log.info("every partition is read to its end; evaluating the last windows")
        self._live.refresh(wall_clock())
        while self._evaluator.turn(flush=True) and not self._stop.is_set():
            self._sender.wake()
        self._traffic.look()
        self._upkeep.expire_labels()
        self._sender.wake()
        if self._stop.is_set():
            return Exit.FINE
        if not self._sender.wait_idle(DELIVER_SECONDS):
            log.error("not everything could be delivered; the rest waits in the store for the next run")
            for reason in self._sender.refusals():
                log.error("a person has to put this right first: %s", reason)
            return Exit.UNREACHABLE
        self._warn_of_waiting_models()
        return Exit.FINE

    def _warn_of_waiting_models(self) -> None:
        with self._store.read() as conn:
            states = status.model_states_by_name(conn)
        unfinished = self._live.unfinished()
        for name in self._settings.models:
            state = states.get(name)
            if state is None:
                log.error("%s was not judged: nothing became of its reference", name)
            elif state.state == "waiting":
                level = logging.WARNING if name in unfinished else logging.ERROR
                log.log(level, "%s was not judged: %s", name, state.reason)

    def _failed(self, error: BaseException) -> int:
        if isinstance(error, KafkaUnreachable):
            log.error("%s", error)
            return Exit.UNREACHABLE
        if isinstance(error, TopicsMissing):
            log.error("%s", error)
            return Exit.UNREACHABLE
        log.error("driftd ends because of an error of its own: %r", error, exc_info=error)
        return Exit.INTERNAL

    def _end(self, reading: _Thread, sending: _Thread) -> None:
        """Intake first, so that its checkpoint is written; then what is pure; then what is told; the store last."""
        self._stop.set()
        self._intake.stop()
        # Evaluations are pure: killing them loses nothing, and the threads that wait for them go on at once.
        self._pool.close()
        self._suites.close()
        reading.thread.join()
        self._ticks.close()
        if sending.thread.is_alive() and not self._sender.drain(DRAIN_SECONDS):
            log.warning("some messages are left; they go out after the next start")
        self._stop_sending.set()
        self._sender.wake()
        sending.thread.join()
        if self._web is not None:
            self._web.close()

    def _start(self, name: str, function: object) -> _Thread:
        def guarded() -> None:
            try:
                function()  # type: ignore[operator]
            except BaseException as error:  # noqa: BLE001  # the main thread judges it
                started.error = error
            finally:
                self._changed.set()

        started = _Thread(threading.Thread(target=guarded, name=name, daemon=True))
        started.thread.start()
        return started

    def _on_signal(self) -> None:
        if self._signals.stopping:
            self._stop.set()
        self._changed.set()

    def _note_configuration(self) -> None:
        try:
            with self._store.write() as conn:
                if self._problems:
                    sentence = f"the configuration is wrong: {'; '.join(self._problems)}"
                    status.set_note(conn, "configuration", sentence, wall_clock())
                else:
                    status.clear_note(conn, "configuration")
        except StoreError as error:
            log.warning("the store cannot be written: %s", error)

    def _web_server(self) -> WebServer | None:
        http = self._settings.http
        if http is None:
            return None
        # A fifth of what the daemon's start costs, and only for those who ask for a port.
        from daemon.web.app import build
        from daemon.web.server import WebServer

        live = Live(
            clock=wall_clock,
            configuration_valid=lambda: not self._problems,
            intake_paused=lambda: bool(self._intake.paused),
            timings=lambda: {
                name: EvaluationTiming(timing.count, timing.errors, timing.seconds, timing.overdue)
                for name, timing in dict(self._evaluator.timings).items()
            },
            deliveries=lambda: self._sender.counts(),
            worker_deaths=lambda: self._pool.deaths + self._suites.deaths,
            tick_failures=lambda: self._ticks.failures,
        )
        made = registry(self._settings, self._store, live, __version__)
        return WebServer(build(Health(self._alive, self._ready), made), http.listen)

    def _alive(self) -> list[str]:
        beats = {
            "the sender": Beat(self._sender.last_turn, SENDER_BOUND),
            "the schedule": Beat(self._beat, SCHEDULE_BOUND),
            "the evaluation": Beat(self._evaluator.last_turn, EVALUATION_BOUND),
        }
        silent = int((time.monotonic() - self._intake.last_poll) * SECOND)
        beats["the poll loop"] = Beat(wall_clock() - silent, POLL_BOUND)
        return overdue(beats, wall_clock())

    def _ready(self) -> list[str]:
        problems = [f"configuration: {problem}" for problem in self._problems]
        if self._intake.last_poll == self._started_at:
            problems.append("Kafka has not been polled yet")
        if self._intake.paused:
            problems.append(self._intake.paused)
        try:
            with self._store.read() as conn:
                notes = status.load_notes(conn)
        except StoreError as error:
            return [*problems, f"the store cannot be read: {error}"]
        return [*problems, *(note.sentence for note in notes if note.key == "stream.kafka")]
