"""Due windows to worker processes, their findings to one transaction each, in window order per model and kind."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from daemon import __version__, crashpoints
from daemon.config.settings import Settings
from daemon.incidents.board import Board, Held, Observation
from daemon.incidents.words import listed
from daemon.schedule.recording import Recorder
from daemon.schedule.retries import Retries
from daemon.schedule.silence import labels_missing
from daemon.schedule.specs import StoredSpecs
from daemon.schedule.stretches import Proven, proven, record_proven
from daemon.schedule.tasks import JOINED_SUITE, JUDGE_DRIFT, JUDGE_QUALITY, SAMPLED_SUITE, Verdicts
from daemon.schedule.watch import Times, Watched
from daemon.schedule.windows import LIVE_WINDOWS, DriftWindow, NoReference, QualityWindow, read_drift, read_quality
from daemon.schedule.workers import PoolClosed, WorkerError, WorkerPool
from daemon.store import (
    AlreadyEvaluated,
    Connection,
    Store,
    gaps,
    panes,
    positions,
    references,
    seen,
    status,
    watermarks,
)
from daemon.store.due import DueWindow
from daemon.store.evaluations import Evaluation
from detectors.findings import Finding, Signal, Verdict, ordinary
from detectors.instants import Micros, rfc3339
from detectors.suite.entries import failed_suite

log = logging.getLogger("driftd.schedule")

REST = 9.0
"""How many times as long as it took the question what is due waits before it is asked again."""
LOOK_SECONDS = 10.0
"""Between two checkpoints nothing but the passing of time makes a window due: then it is asked this often."""
LOOK_BACK_SECONDS = 600.0
"""How often windows that closed long ago are asked for too: a partition that stood still may still fill them."""
SUITE_TIMEOUT = 300.0
"""Evidently takes some seconds, of many columns a minute; longer than this it has hung."""

Lane = tuple[str, str]
"""A model and a kind: one lane is evaluated in window order, lanes beside each other."""


@dataclass(slots=True)
class Timing:
    """How many evaluations of a model there were, how long they took, and how many are due."""

    count: int = 0
    seconds: float = 0.0
    errors: int = 0
    overdue: int = 0


@dataclass(frozen=True, slots=True)
class _Running:
    """An evaluation in a worker, and beside it in another one the model's own Evidently suite, if it has one."""

    due: DueWindow
    reference: str | None
    started: float
    future: Future[Verdicts]
    suite: Future[tuple[Finding, ...]] | None = None

    @property
    def unfinished(self) -> list[Future[Any]]:
        return [future for future in (self.future, self.suite) if future is not None and not future.done()]


@dataclass(slots=True)
class _Queue:
    """What a lane has to do, in order of the instant at which it became known."""

    items: deque[DueWindow | Proven] = field(default_factory=deque)


class Evaluator:
    """Turns committed rows into findings. `turn` works until nothing is due; any number of turns comes to the same."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        pool: WorkerPool,
        specs: StoredSpecs,
        recorder: Recorder,
        clock: Callable[[], Micros],
        stop: threading.Event,
        suites: WorkerPool | None = None,
    ) -> None:
        self._suites = pool if suites is None else suites
        self._running: dict[Lane, _Running] = {}
        self._watched = {name: Watched.of(settings, name) for name in settings.models}
        self._store = store
        self._pool = pool
        self._specs = specs
        self._recorder = recorder
        self._clock = clock
        self._stop = stop
        self._retries = Retries()
        self._turning = threading.Lock()
        self._rest_until = 0.0
        self._looked_at = -LOOK_SECONDS
        self._looked_back_at = -LOOK_BACK_SECONDS
        self._checkpoint = -1
        self._advanced: dict[tuple[str, str], Micros] = {}
        self.timings: Mapping[str, Timing] = defaultdict(Timing)
        self.last_turn = clock()
        """When this was last seen to go on: a sign of life."""

    def turn(self, *, flush: bool = False) -> int:
        """Evaluates every window that is due and returns how many; `flush` asks for stale ones too, at a run's end.

        A model's own Evidently suite may take seconds, and nothing waits for it but its own window: a later turn
        records that one, and goes on with its model.
        """
        with self._turning:
            return self._turn(flush)

    def _turn(self, flush: bool) -> int:
        began = time.monotonic()
        self.last_turn = self._clock()
        recorded = self._go_on(everything=flush)
        # Where a suite was waited for, the model's next window may be due already.
        if not (flush or recorded) and (began < self._rest_until or not self._may_have_changed(began)):
            return 0
        everything = flush or began - self._looked_back_at >= LOOK_BACK_SECONDS
        queues = {
            lane: queue
            for name in self._watched
            for lane, queue in self._find(name, flush, everything).items()
            if lane not in self._running
        }
        if everything:
            self._looked_back_at = began
        # With a hundred models the question itself takes a while: it may cost a tenth of a core.
        self._rest_until = time.monotonic() + REST * (time.monotonic() - began)
        running = self._running
        while not self._stop.is_set():
            self.last_turn = self._clock()
            for lane, queue in queues.items():
                while queue.items and self._may_start(lane):
                    item = queue.items.popleft()
                    if not isinstance(item, DueWindow):
                        self._prove(lane[0], item)
                    elif (task := self._start(item)) is not None:
                        running[lane] = task
            if any(not task.unfinished for task in running.values()):
                recorded += self._go_on()
            elif running and (flush or self._judging):
                self._wait()
            else:
                break
        return recorded

    @property
    def _judging(self) -> int:
        """How many evaluations are judged now, besides those that only wait for their suite."""
        return sum(not task.future.done() for task in self._running.values())

    def _wait(self) -> None:
        """Until something that runs is done, or a second is over."""
        unfinished = [future for task in self._running.values() for future in task.unfinished]
        wait(unfinished, timeout=1.0, return_when=FIRST_COMPLETED)

    def _go_on(self, *, everything: bool = False) -> int:
        """Records the evaluations that are done, or waits for everything that runs; returns how many that were."""
        recorded = 0
        while not self._stop.is_set():
            self.last_turn = self._clock()
            for lane in [lane for lane, task in self._running.items() if not task.unfinished]:
                recorded += self._finish(self._running.pop(lane))
            if not (everything and self._running):
                break
            self._wait()
        return recorded

    def _may_start(self, lane: Lane) -> bool:
        """Whether the lane is free, and so is a worker; of the suites that wait for theirs each holds a window."""
        if lane in self._running or self._judging >= 2 * self._pool.slots:
            return False
        suites = sum(task.suite is not None for task in self._running.values())
        return suites < 2 * self._suites.slots or not self._watched[lane[0]].rules.suite

    def _may_have_changed(self, began: float) -> bool:
        """Whether a checkpoint has come since the last look, or time has passed that labels may have waited for."""
        with self._store.read() as conn:
            checkpoint = positions.checkpoint(conn)
        if checkpoint == self._checkpoint and began - self._looked_at < LOOK_SECONDS:
            return False
        self._checkpoint, self._looked_at = checkpoint, began
        return True

    def _find(self, name: str, flush: bool, everything: bool) -> dict[Lane, _Queue]:
        """What is due for a model; remembers how far its watermarks have come."""
        watched = self._watched[name]
        wall = self._clock()
        retry = {kind: self._retries.of(name, kind, wall) for kind in ("drift", "quality")}
        with self._store.read() as conn:
            times = watched.times(conn, wall)
            drift = watched.due_drift(conn, times, flush=flush, everything=everything, retry=retry["drift"])
            quality = watched.due_quality(conn, times, flush=flush, everything=everything, retry=retry["quality"])
            shown = proven(conn, watched, times, flush=flush)
        self._advance(name, times)
        self.timings[name].overdue = len(drift) + len(quality)
        # A silence speaks before the windows that end in it, and so do rows that were lost.
        ordered: list[DueWindow | Proven] = [*shown, *drift]
        ordered.sort(key=lambda item: item.end if isinstance(item, DueWindow) else item.known_at)
        return {(name, "drift"): _Queue(deque(ordered)), (name, "quality"): _Queue(deque(quality))}

    def _advance(self, name: str, times: Times) -> None:
        now = {"predictions": times.watermark, "labels": times.label_watermark}
        moved = {role: at for role, at in now.items() if at is not None and at != self._advanced.get((name, role))}
        if moved:
            with self._store.write() as conn:
                for role, at in moved.items():
                    watermarks.advance_watermark(conn, name, at, role)
            self._advanced |= {(name, role): at for role, at in moved.items()}

    def _start(self, due: DueWindow) -> _Running | None:
        """Reads the window and gives it to a worker; None when that was not possible, or nothing is left of it."""
        watched = self._watched[due.model]
        name = f"{due.model} {due.kind} of {rfc3339(due.start)} to {rfc3339(due.end)}"
        started = time.monotonic()
        try:
            with self._store.read() as conn:
                window: DriftWindow | QualityWindow | None
                if due.kind == "drift":
                    window = read_drift(conn, watched.model, watched.rules, due, self._specs)
                else:
                    window = read_quality(conn, watched.model, watched.rules, due, self._specs)
        except NoReference as error:
            self._record(_Running(due, None, started, Future()), _failed(due, str(error)))
            return None
        if window is None:
            if due.revision > 0:
                # Nothing is left to be judged: the next look must not find it due again at once.
                self._retries.note(due, failed=True, now=self._clock())
            return None
        suite: Future[tuple[Finding, ...]] | None = None
        try:
            if isinstance(window, DriftWindow):
                future = self._pool.submit(JUDGE_DRIFT, window.task, name=name)
                if window.suite is not None:
                    suite = self._suites.submit(
                        SAMPLED_SUITE, window.suite, name=f"the suite of {name}", timeout=SUITE_TIMEOUT
                    )
            else:
                future = self._pool.submit(JUDGE_QUALITY, window.task, name=name)
                if any(entry.labelled for entry in watched.rules.suite):
                    suite = self._suites.submit(
                        JOINED_SUITE, window.task, name=f"the suite of {name}", timeout=SUITE_TIMEOUT
                    )
        except PoolClosed:
            return None
        return _Running(window.due, window.reference_hash, started, future, suite)

    def _finish(self, task: _Running) -> bool:
        due = task.due
        timing = self.timings[due.model]
        try:
            result = task.future.result()
        except PoolClosed:
            return False
        except WorkerError as error:
            log.error("%s: the %s evaluation of %s failed: %s", due.model, due.kind, rfc3339(due.end), error)
            timing.errors += 1
            result = _failed(due, str(error))
        try:
            suite = self._suite_findings(task)
        except PoolClosed:
            return False
        timing.count += 1
        timing.seconds += time.monotonic() - task.started
        timing.overdue = max(0, timing.overdue - 1)
        return self._record(task, result, suite)

    def _suite_findings(self, task: _Running) -> Sequence[Finding]:
        """What the model's own suite found; one that ended its worker takes nothing else along."""
        if task.suite is None:
            return ()
        due = task.due
        try:
            return task.suite.result()
        except PoolClosed:
            raise
        except WorkerError as error:
            log.error("%s: the suite of the %s window of %s failed: %s", due.model, due.kind, rfc3339(due.end), error)
            return failed_suite(self._watched[due.model].rules, due.kind == "quality", str(error))

    def _record(self, task: _Running, result: Verdicts, suite: Sequence[Finding] = ()) -> bool:
        due, watched = task.due, self._watched[task.due.model]
        wall = self._clock()
        findings = [*result.findings, *suite]
        several = watched.model.several_labels
        if due.kind == "quality" and watched.model.labels is not None and not several:
            findings.append(labels_missing(due.expected or 0, due.rows, watched.model.labels.maturity.coverage))
        crashpoints.reach("evaluation.before_transaction")
        try:
            with self._store.write() as conn:
                now = watched.times(conn, wall).now
                evaluation = Evaluation(
                    model=due.model,
                    kind=due.kind,
                    window_start=due.start,
                    window_end=due.end,
                    revision=due.revision,
                    every=watched.every,
                    rows=due.rows,
                    expected=due.expected,
                    fingerprint=due.fingerprint,
                    watermark=due.watermark,
                    evaluated_at=wall if now is None else now,
                    reference=task.reference,
                    config_hash=watched.config_hash,
                    driftd_version=__version__,
                )
                incomplete = _incomplete(conn, due)
                observation = Observation(
                    kind="drift" if due.kind == "drift" else "quality",
                    start=due.start,
                    end=due.end,
                    findings=findings,
                    revision=due.revision,
                    rows=result.rows,
                    incomplete=incomplete,
                )
                # A replay tells the same story at any speed: its incidents go by the windows, not by the reading.
                at = wall if watched.clock == "wall" else due.end
                board = self._recorder.record(conn, evaluation, [observation], now=at, wall=wall)
                if due.kind == "drift" and task.reference is not None:
                    missing_rows = incomplete is not None or _interrupted(board, due)
                    self._calibrate(conn, due, task.reference, result, incomplete=missing_rows)
                    _note_columns(conn, due, findings, wall)
                _note_errors(conn, due, findings, wall)
        except AlreadyEvaluated:
            log.info("%s: the %s window of %s was evaluated before", due.model, due.kind, rfc3339(due.end))
            return False
        crashpoints.reach("evaluation.after_transaction")
        self._retries.note(due, failed=any(finding.signal is Signal.DRIFTD for finding in findings), now=wall)
        return True

    def _calibrate(
        self, conn: Connection, due: DueWindow, reference: str, result: Verdicts, *, incomplete: bool
    ) -> None:
        """Adds an ordinary window to those that show what is usual, or takes it back when a revision says otherwise.

        A later window sees only those that ended `allowed_lateness` before it did, so what it sees is final.
        """
        enough = result.rows >= self._watched[due.model].rules.min_rows
        vector = result.vector if ordinary(result.findings) and enough and not incomplete else None
        last = references.last_live_window_end(conn, due.model, reference)
        if due.revision > 0:
            references.revise_live_window(conn, due.model, reference, window_start=due.start, vector=vector)
        elif vector is not None and (last is None or due.start >= last):
            if len(references.live_windows(conn, due.model, reference, due.end, limit=LIVE_WINDOWS)) < LIVE_WINDOWS:
                references.add_live_window(
                    conn,
                    due.model,
                    reference,
                    window_start=due.start,
                    window_end=due.end,
                    added_at=due.watermark,
                    vector=vector,
                )

    def _prove(self, name: str, item: Proven) -> None:
        with self._store.write() as conn:
            record_proven(conn, self._recorder, self._watched[name], item, self._clock())


def _incomplete(conn: Connection, due: DueWindow) -> Held | None:
    """Why rows of the window are missing, if it is known that they are."""
    if gaps.gaps(conn, due.model, due.start, due.end):
        return Held.GAP
    # The window in which reading began misses what was there before, like one that lost rows.
    first = panes.first_pane(conn, due.model)
    return Held.BEGUN if first is not None and due.start < first else None


def _interrupted(board: Board, due: DueWindow) -> bool:
    return any(span.start < due.end and (span.end is None or span.end > due.start) for span in board.interruptions)


def _failed(due: DueWindow, reason: str) -> Verdicts:
    finding = Finding(Signal.DRIFTD, "evaluation", Verdict.ERROR, rows=due.rows, detail=reason)
    return Verdicts((finding,), due.rows, None)


def _note_columns(conn: Connection, due: DueWindow, findings: list[Finding], now: Micros) -> None:
    """Remembers of which columns the window had values; a sentence for `driftd status` on those that none has had."""
    found = {
        verdict: {f.column for f in findings if f.metric == "lost" and f.verdict is verdict and f.column is not None}
        for verdict in (Verdict.OK, Verdict.NO_DATA)
    }
    never = sorted(found[Verdict.NO_DATA] - found[Verdict.OK])
    seen.note(conn, due.model, found[Verdict.OK], due.end)
    key = f"columns.{due.model}"
    if never:
        columns, are, them = ("column", "has", "it") if len(never) == 1 else ("columns", "have", "them")
        sentence = (
            f"{due.model}: {columns} {listed(never, 10)} of the reference {are} never been seen in the messages: "
            f"exclude {them} (columns.exclude), or check predictions.fields.features."
        )
        status.set_note(conn, key, sentence, now)
    elif found[Verdict.OK]:
        status.clear_note(conn, key)


def _note_errors(conn: Connection, due: DueWindow, findings: list[Finding], now: Micros) -> None:
    """A sentence for `driftd status` while a model's last evaluation of a kind was an error."""
    key = f"evaluation.{due.model}.{due.kind}"
    errors = [finding for finding in findings if finding.signal is Signal.DRIFTD]
    if errors:
        window = f"{rfc3339(due.start)} to {rfc3339(due.end)}"
        status.set_note(
            conn, key, f"{due.model}: the {due.kind} evaluation of {window} failed: {errors[0].detail}", now
        )
    else:
        status.clear_note(conn, key)
