"""The real daemon as a child process that tests start, kill and ask, and proof that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from daemon.crashpoints import VARIABLE
from deploy.kafka.local import CHECKOUT

MARK = "DRIFTD_TEST_PROCESS"
COMMAND = (sys.executable, "-c", "from daemon.cli import main; main()")
PATIENCE = 180.0
POLL = 0.05


class TookTooLong(AssertionError):
    """A condition that did not come true before its deadline."""


def wait_until(
    condition: Callable[[], bool], what: str, daemon: Daemon | None = None, seconds: float = PATIENCE
) -> None:
    """Look again and again until the condition holds; when it never does, say so, and what the daemon logged."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TookTooLong(f"not within {seconds:g} s: {what}\n{daemon.tail() if daemon is not None else ''}")
        time.sleep(POLL)


class Daemon:
    """`driftd run` over one configuration. Every process that it starts, and theirs, carries a mark of this object."""

    def __init__(self, config: Path, log: Path) -> None:
        self.config = config
        self.log = log
        self.mark = uuid.uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, crash_at: str | None = None, prefix: tuple[str, ...] = ()) -> None:
        """Start `driftd run`, to die at a crash point if one is named; `prefix` is a command to run it under."""
        assert not self.running, "it runs already"
        with self.log.open("ab") as log:
            log.write(f"\n--- run {' '.join(arguments)} {VARIABLE}={crash_at}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                [*prefix, *COMMAND, "run", "--config", str(self.config), *arguments],
                env=self._environment({VARIABLE: crash_at} if crash_at else {}),
                cwd=self.config.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        assert self._process is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """How the process ended: an exit code, or the negative number of a signal; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for its end and return its status."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TookTooLong(f"driftd did not end within {seconds:g} s\n{self.tail()}") from None

    def kill(self) -> None:
        """SIGKILL the daemon alone; its workers have to notice by themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End it in order by SIGTERM."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def end(self) -> None:
        """Whatever its state, let nothing of it run on."""
        if self.running:
            self.kill()
        for process in self.left_behind():
            process.kill()

    def left_behind(self) -> list[psutil.Process]:
        """Every process that was started by this daemon, at any time, and still runs."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark:
                    found.append(process)
            except psutil.Error:
                continue
        return [process for process in found if not (self.running and process.pid == self.pid)]

    def assert_no_orphan(self) -> None:
        """After its death its workers end too, by themselves and soon."""
        assert not self.running
        wait_until(lambda: not self.left_behind(), f"orphans end: {self.left_behind()}", self)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another verb of the command, over the same configuration."""
        return subprocess.run(
            [*COMMAND, *arguments, "--config", str(self.config)],
            env=self._environment({}),
            cwd=self.config.parent,
            capture_output=True,
            text=True,
            check=False,
        )

    def results(self) -> list[dict[str, Any]]:
        """`driftd results --format json`: the findings of every window's last revision."""
        done = self.ask("results", "--format", "json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def tail(self, lines: int = 40) -> str:
        """The end of its log, for the message of a failed test."""
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(text[-lines:])

    @property
    def was_killed(self) -> bool:
        """Whether it died by SIGKILL."""
        return self.status == -signal.SIGKILL

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        own = {key: value for key, value in os.environ.items() if key != VARIABLE}
        return own | {MARK: self.mark, "PYTHONPATH": str(CHECKOUT)} | more
