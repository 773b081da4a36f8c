"""The worker process: takes tasks from a pipe, sends back results, ends when its parent is gone.

Started as `python -m daemon.schedule.worker FD`. It imports what a task's function needs (`detectors`, and the module
that reads reference files), never the store, Kafka or Slack.
"""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import NoReturn

from daemon import crashpoints

DONE = "done"
FAILED = "failed"


def main(descriptor: int) -> NoReturn:
    """Runs tasks one after another until the pipe closes."""
    # Ctrl-C reaches the whole process group; the daemon alone decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Intake comes first: an evaluation may be late, a poll loop may not.
    os.nice(5)
    pipe = Connection(descriptor)
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, tasks), daemon=True).start()
    while True:
        answer = _run(tasks.get())
        crashpoints.reach("worker.before_result")
        try:
            pipe.send_bytes(answer)
        except OSError:
            os._exit(0)


def _receive(pipe: Connection, tasks: queue.SimpleQueue[bytes]) -> None:
    # A thread of its own sees the pipe end also while a task runs: a killed daemon leaves no process computing.
    while True:
        try:
            tasks.put(pipe.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)


def _run(task: bytes) -> bytes:
    try:
        path, payload = pickle.loads(task)
        module, _, name = path.partition(":")
        function = getattr(importlib.import_module(module), name)
        return pickle.dumps((DONE, function(payload)), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001  # whatever a task raises is the daemon's to judge
        return pickle.dumps((FAILED, (type(error).__name__, str(error), traceback.format_exc())))


if __name__ == "__main__":
    main(int(sys.argv[1]))
