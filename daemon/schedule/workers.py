"""Worker processes: one a slot, spawned and never forked, joined to the daemon by a pipe."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any, Self

from daemon.schedule import worker
from daemon.schedule.tasks import P, R, Work

log = logging.getLogger("driftd.schedule")

TIMEOUT = 120.0
ATTEMPTS = 2


class WorkerError(Exception):
    """Base of what can become of a task.

    WorkerError
      +- TaskFailed    the task raised; asking again would raise again
      +- WorkerDied    the task killed, or outlasted, two processes
      +- PoolClosed    the daemon is stopping; the task is asked for again after the next start
    """


class TaskFailed(WorkerError):
    """The task's function raised. `kind` is the exception's class, `traceback` its text."""

    def __init__(self, kind: str, message: str, traceback: str) -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.kind = kind
        self.message = message
        self.traceback = traceback


class WorkerDied(WorkerError):
    """The task ended two processes: by a signal, by running out of memory, or by its time limit."""


class PoolClosed(WorkerError):
    """The pool was closed before the task was done."""


@dataclass(slots=True)
class _Task:
    name: str
    body: bytes
    timeout: float
    future: Future[Any]


class WorkerPool:
    """`slots` worker processes, each started when its first task comes.

    A process that dies, or is killed because its task took longer than `timeout` seconds, gets the same task once more
    in a fresh process; a task that ends two is `WorkerDied`. `close` kills what runs: evaluations are pure, so nothing
    is lost by it.
    """

    def __init__(self, slots: int, *, timeout: float = TIMEOUT) -> None:
        if slots < 1:
            raise ValueError(f"a worker pool needs at least one slot, not {slots}")
        self.slots = slots
        self._timeout = timeout
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._slots = [_Slot(self._tasks, self._closed, number) for number in range(slots)]

    def submit(
        self, work: Work[P, R], payload: P, *, name: str | None = None, timeout: float | None = None
    ) -> Future[R]:
        """Calls the work's function with `payload` in a worker; `name` is what the log calls the task."""
        future: Future[R] = Future()
        body = pickle.dumps((work.path, payload), protocol=pickle.HIGHEST_PROTOCOL)
        with self._lock:
            if self._closed.is_set():
                raise PoolClosed("the worker pool is closed")
            limit = self._timeout if timeout is None else timeout
            self._tasks.put(_Task(name or work.path, body, limit, future))
        return future

    @property
    def deaths(self) -> int:
        """How many worker processes have ended during a task."""
        return sum(slot.deaths for slot in self._slots)

    def processes(self) -> list[int]:
        """The process ids of the workers that run now."""
        return [pid for slot in self._slots if (pid := slot.pid) is not None]

    def close(self) -> None:
        """Kills every worker; tasks that are not done end as PoolClosed. Safe to call twice."""
        with self._lock:
            self._closed.set()
        for slot in self._slots:
            slot.kill()
            self._tasks.put(None)
        for slot in self._slots:
            slot.join()
        while not self._tasks.empty():
            task = self._tasks.get()
            if task is not None:
                _refuse(task.future)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Slot:
    """One thread of the daemon that owns at most one worker process."""

    def __init__(self, tasks: queue.SimpleQueue[_Task | None], closed: threading.Event, number: int) -> None:
        self._tasks = tasks
        self._closed = closed
        self._lock = threading.Lock()
        self.deaths = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[bytes, bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"worker-slot-{number}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def kill(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._serve(task)
        self._end()

    def _serve(self, task: _Task) -> None:
        reason = ""
        for _ in range(ATTEMPTS):
            if self._closed.is_set():
                _refuse(task.future)
                return
            answer, reason = self._attempt(task)
            if answer is not None:
                _settle(task.future, answer)
                return
            if self._closed.is_set():
                _refuse(task.future)
                return
            self.deaths += 1
            log.warning("worker ended during %s: it %s", task.name, reason)
        task.future.set_exception(WorkerDied(f"{task.name} ended {ATTEMPTS} worker processes; the last one {reason}"))

    def _attempt(self, task: _Task) -> tuple[bytes | None, str]:
        try:
            pipe = self._started()
            pipe.send_bytes(task.body)
            if pipe.poll(task.timeout):
                return pipe.recv_bytes(), ""
            self._end()
            return None, f"was killed after {task.timeout:g} s"
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return None, _ending(self._end(grace=1.0))
        except OSError as error:
            self._end()
            return None, f"failed: {error}"

    def _started(self) -> Connection[bytes, bytes]:
        with self._lock:
            if self._closed.is_set():
                raise EOFError
            if self._pipe is not None and self._process is not None and self._process.poll() is None:
                return self._pipe
            self._forget()
            ours, theirs = Pipe()
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", worker.__name__, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=_environment(),
                )
            finally:
                theirs.close()
            self._pipe = ours
            return ours

    def _end(self, grace: float = 0.0) -> int | None:
        """Ends the process, one that is ending by itself not before `grace` seconds: its exit code tells why."""
        process = self._process
        if process is not None and grace > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        with self._lock:
            return self._forget()

    def _forget(self) -> int | None:
        code = None
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            code = self._process.wait()
        self._pipe = self._process = None
        return code


def _environment() -> dict[str, str]:
    # One thread a worker: a slot is one core, and sums then come out the same on every machine.
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS"), "1")
    paths = [path for path in sys.path if path]
    return os.environ | single | {"PYTHONPATH": os.pathsep.join(paths)}


def _ending(code: int | None) -> str:
    if code is None:
        return "could not be started"
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _refuse(future: Future[Any]) -> None:
    future.set_exception(PoolClosed("the daemon is stopping"))


def _settle(future: Future[Any], answer: bytes) -> None:
    outcome, value = pickle.loads(answer)
    if outcome == worker.DONE:
        future.set_result(value)
    else:
        future.set_exception(TaskFailed(*value))
