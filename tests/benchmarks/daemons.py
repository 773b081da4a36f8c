"""The daemon under measurement: its configuration, its process, and what it costs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from daemon.store import Store, StoreError, books, evaluations
from deploy.kafka.local import CHECKOUT
from detectors.instants import DAY, Micros
from tests.benchmarks import data

PATIENCE = 3600.0
"""Seconds after which a daemon that does not get on is given up."""


def write_reference(folder: Path, rows: int, span: Micros = data.REFERENCE_DAYS * DAY) -> Path:
    """A reference file of made-up predictions, spread over so long a time."""
    path = folder / "reference.parquet"
    data.reference(rows, span=span).to_parquet(path)
    return path


def write_configuration(path: Path, bootstrap: str, models: Mapping[str, Any], **installation: Any) -> Path:
    """A configuration with its store beside it; `models` as in YAML."""
    body = {
        "installation": path.stem,
        "kafka": {"bootstrap_servers": bootstrap},
        "store": {"path": f"{path.stem}.db"},
        "models": dict(models),
        **installation,
    }
    path.write_text(yaml.safe_dump(body, sort_keys=False))
    return path


def model(topic: str, reference: Path, *, labels: str | None = None, **settings: Any) -> dict[str, Any]:
    """A model that reads a topic from its beginning."""
    body: dict[str, Any] = {
        "predictions": {"topic": topic, "start": "earliest"},
        "reference": {"uri": str(reference)},
        "columns": {"exclude": ["trace"]},
    }
    if labels is not None:
        body |= {"task": "regression", "labels": {"topic": labels, "start": "earliest"}}
    return body | settings


@dataclass(frozen=True, slots=True)
class Cost:
    """What the daemon has used so far: CPU seconds of its main process and of its workers, bytes to storage, RSS."""

    cpu: float
    workers_cpu: float
    written: int
    rss: int
    at: float


class Daemon:
    """A running `driftd run`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, store: Path) -> None:
        self._process = process
        self._main = psutil.Process(process.pid)
        self._log = log
        self.store = store
        self._children: dict[int, float] = {}

    def cost(self) -> Cost:
        """What it has used since it started."""
        times = self._main.cpu_times()
        for child in self._main.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                used = child.cpu_times()
                self._children[child.pid] = used.user + used.system
        return Cost(
            cpu=times.user + times.system,
            workers_cpu=sum(self._children.values()),
            written=self._main.io_counters().write_bytes if hasattr(self._main, "io_counters") else 0,
            rss=self._main.memory_info().rss,
            at=time.monotonic(),
        )

    def counted(self, counter: str = "predictions") -> int:
        """A counter of the books, summed over the models."""
        try:
            store = Store.open(self.store, writer=False)
        except StoreError:
            return 0
        try:
            with store.read() as conn:
                return sum(counters[counter] for counters in books.books(conn).values())
        finally:
            store.close()

    def windows(self) -> int:
        """How many windows it has judged."""
        store = Store.open(self.store, writer=False)
        try:
            with store.read() as conn:
                return len({(row.model, row.kind, row.window_end) for row in evaluations.results(conn)})
        finally:
            store.close()

    def stored_bytes(self) -> int:
        """The size of the store's files."""
        return sum(path.stat().st_size for path in self.store.parent.glob(f"{self.store.name}*"))

    def wait_until(self, done: Callable[[], bool], every: float = 0.5) -> None:
        """Until something is so; an error when the daemon ends, or nothing has come of it for long."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            if self._process.poll() is not None:
                raise RuntimeError(f"driftd ended with {self._process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"driftd did not get there in {PATIENCE:g} s: {self.last_words()}")
            time.sleep(every)

    def last_words(self) -> str:
        """The end of its log."""
        return " | ".join(self._log.read_text(errors="replace").splitlines()[-5:])


@contextmanager
def running(configuration: Path) -> Iterator[Daemon]:
    """`driftd run` in a process of its own, stopped at the end."""
    log = configuration.with_suffix(".log")
    command = [sys.executable, "-m", "daemon.cli", "run", "--config", str(configuration), "--workers", "1"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=CHECKOUT)
        try:
            yield Daemon(process, log, configuration.with_suffix(".db"))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def child(module: str, *arguments: str) -> str:
    """What a module of the benchmarks prints when it runs in a process of its own."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=CHECKOUT, check=False, text=True)
    if done.returncode:
        raise RuntimeError(f"tests.benchmarks.{module} {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout
