"""What can happen to the store: a full disk, another program's lock, a second daemon."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from daemon.cli.errors import Exit
from tests.conftest import Broker
from tests.faults import workload
from tests.faults.scenario import Scenario, scenario
from tests.support.daemon import wait_until

PAUSED = "intake is paused"
GOES_ON = "intake goes on"
HTTP = {"listen": "127.0.0.1:0"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB, where the system lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and sys.platform == "linux"
    if (
        not mounted
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("a small file system needs Linux and the right to mount: run the tests as root")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_pauses_intake_until_there_is_room(kafka: Broker, tmp_path: Path, small_disk: Path) -> None:
    store = {"path": str(small_disk / "driftd.db"), "checkpoint": "200ms"}
    with scenario(workload.make(31), tmp_path, kafka.bootstrap, settings={"store": store, "http": HTTP}) as run:
        slices = iter(run.workload.slices(24))
        run.feed(iter([next(slices), next(slices)]))
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        _feed_until_paused(run, slices)
        _says_why(run, f"The disk that holds the store {run.store} is full.")
        ballast.unlink()
        _goes_on(run)
        run.finish(slices)


def test_a_file_that_may_not_grow_pauses_intake_until_it_may(kafka: Broker, tmp_path: Path) -> None:
    with scenario(workload.make(32), tmp_path, kafka.bootstrap, settings={"http": HTTP}) as run:
        slices = iter(run.workload.slices(24))
        run.feed(iter([next(slices), next(slices)]))
        log = run.store.with_name("driftd.db-wal")
        resource.prlimit(run.daemon.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, resource.RLIM_INFINITY))
        _feed_until_paused(run, slices)
        _says_why(run, f"The store {run.store} cannot be used: disk I/O error.")
        resource.prlimit(run.daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        _goes_on(run)
        run.finish(slices)


def test_a_locked_store_is_waited_for_and_a_second_daemon_is_sent_away(kafka: Broker, tmp_path: Path) -> None:
    with scenario(workload.make(33), tmp_path, kafka.bootstrap, settings={"http": HTTP}) as run:
        slices = iter(run.workload.slices(24))
        run.feed(iter([next(slices), next(slices)]))
        second = run.daemon.ask("run")
        assert second.returncode == Exit.STORE_HELD
        assert f"process {run.daemon.pid} " in second.stderr
        with contextlib.closing(sqlite3.connect(run.store, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            _feed_until_paused(run, slices)
            _says_why(run, f"The store {run.store} is locked by another program for longer than 5 s.")
            other.execute("ROLLBACK")
        _goes_on(run)
        run.finish(slices)


def _feed_until_paused(run: Scenario, slices: Iterator[list[workload.Draft]]) -> None:
    """Produce slices until the daemon says that it has stopped reading; what is in the store then stays as it is."""
    while PAUSED not in run.daemon.log.read_text():
        run.produce(next(slices))
        wait_until(lambda: run.is_read() or PAUSED in run.daemon.log.read_text(), "it reads or it pauses", run.daemon)
    before = run.next_offsets()
    run.produce(next(slices))
    assert run.daemon.running
    assert run.next_offsets() == before
    assert not run.is_read()


def _says_why(run: Scenario, why: str) -> None:
    """While intake is paused the daemon is alive and not ready, and everyone who asks is told the reason."""
    sentence = f"Nothing is read while the store cannot be used. {why}"
    code, body = _ask(run, "/readyz")
    (problem,) = json.loads(body)["problems"]
    assert (code, problem.startswith(sentence)) == (503, True), body
    assert _ask(run, "/healthz")[0] == 200
    assert 'driftd_intake_paused{installation="faults"} 1.0' in _ask(run, "/metrics")[1]
    trouble = _status(run)["trouble"]
    assert [note["sentence"].startswith(sentence) for note in trouble] == [True]


def _goes_on(run: Scenario) -> None:
    wait_until(run.is_read, "what waited in Kafka is counted", run.daemon)
    assert GOES_ON in run.daemon.log.read_text()
    assert _ask(run, "/readyz")[0] == 200
    assert 'driftd_intake_paused{installation="faults"} 0.0' in _ask(run, "/metrics")[1]
    assert _status(run)["trouble"] == []
    run.kill("after a pause")


def _ask(run: Scenario, path: str) -> tuple[int, str]:
    address = run.daemon.log.read_text().rpartition("listening on ")[2].split()[0]
    try:
        with urlopen(f"http://{address}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _status(run: Scenario) -> dict[str, Any]:
    done = run.daemon.ask("status", "--format", "json")
    assert done.returncode == Exit.FINE, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
