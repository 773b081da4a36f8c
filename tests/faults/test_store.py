"""What can happen to the store: a full disk, another program's lock, a second daemon."""

from __future__ import annotations

import contextlib
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli.errors import Exit
from tests.conftest import Broker
from tests.faults import workload
from tests.faults.scenario import Scenario, scenario
from tests.support.daemon import wait_until

PAUSED = "intake is paused"
GOES_ON = "intake goes on"


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
    with scenario(workload.make(31), tmp_path, kafka.bootstrap, settings={"store": store}) as run:
        slices = iter(run.workload.slices(24))
        run.feed(iter([next(slices), next(slices)]))
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        _feed_until_paused(run, slices)
        ballast.unlink()
        _goes_on(run)
        run.finish(slices)


def test_a_file_that_may_not_grow_pauses_intake_until_it_may(kafka: Broker, tmp_path: Path) -> None:
    with scenario(workload.make(32), tmp_path, kafka.bootstrap) as run:
        slices = iter(run.workload.slices(24))
        run.feed(iter([next(slices), next(slices)]))
        log = run.store.with_name("driftd.db-wal")
        resource.prlimit(run.daemon.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, resource.RLIM_INFINITY))
        _feed_until_paused(run, slices)
        resource.prlimit(run.daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        _goes_on(run)
        run.finish(slices)


def test_a_locked_store_is_waited_for_and_a_second_daemon_is_sent_away(kafka: Broker, tmp_path: Path) -> None:
    with scenario(workload.make(33), tmp_path, kafka.bootstrap) as run:
        slices = iter(run.workload.slices(24))
        run.feed(iter([next(slices), next(slices)]))
        second = run.daemon.ask("run")
        assert second.returncode == Exit.STORE_HELD
        assert f"process {run.daemon.pid} " in second.stderr
        with contextlib.closing(sqlite3.connect(run.store, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            _feed_until_paused(run, slices)
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


def _goes_on(run: Scenario) -> None:
    wait_until(run.is_read, "what waited in Kafka is counted", run.daemon)
    assert GOES_ON in run.daemon.log.read_text()
    run.kill("after a pause")
