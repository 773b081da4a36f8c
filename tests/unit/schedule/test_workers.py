"""Given a pool of worker processes, when tasks succeed, raise, die or hang, then each future says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from daemon.schedule.tasks import Work
from daemon.schedule.workers import PoolClosed, TaskFailed, WorkerDied, WorkerPool


def task(function: str) -> Work[Any, Any]:
    """A function of this module, as work."""
    return Work(f"tests.unit.schedule.test_workers:{function}")


def double(value: int) -> int:
    return 2 * value


def own_process(_: None) -> int:
    return os.getpid()


def raises(text: str) -> None:
    raise ValueError(text)


def die(path: str) -> str:
    """Kills its process as long as `path` holds lives to lose, then answers."""
    file = Path(path)
    lives = int(file.read_text())
    if lives:
        file.write_text(str(lives - 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def hang(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    threading.Event().wait()


def imported(_: None) -> list[str]:
    return sorted({name.partition(".")[0] for name in sys.modules})


def test_a_task_runs_in_a_process_of_its_own_and_the_next_one_in_the_same() -> None:
    with WorkerPool(1) as pool:
        assert pool.processes() == []
        assert pool.submit(task("double"), 21).result() == 42
        first = pool.submit(task("own_process"), None).result()
        assert first != os.getpid()
        assert pool.submit(task("own_process"), None).result() == first
        assert pool.processes() == [first]


def test_what_a_task_raises_comes_back_with_its_kind_and_the_process_lives_on() -> None:
    with WorkerPool(1) as pool:
        process = pool.submit(task("own_process"), None).result()
        with pytest.raises(TaskFailed, match="ValueError: no such column") as failure:
            pool.submit(task("raises"), "no such column").result()
        assert failure.value.kind == "ValueError"
        assert "Traceback" in failure.value.traceback
        assert pool.submit(task("own_process"), None).result() == process


def test_a_task_whose_process_dies_is_given_to_a_fresh_one(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    lives.write_text("1")
    with WorkerPool(1) as pool:
        assert pool.submit(task("die"), str(lives)).result() == "done"
        assert pool.deaths == 1


def test_a_task_that_ends_two_processes_is_given_up_and_the_slot_goes_on(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    lives.write_text("9")
    with WorkerPool(1) as pool:
        with pytest.raises(WorkerDied, match=r"flight-delay drift ended 2 worker processes.*signal 9"):
            pool.submit(task("die"), str(lives), name="flight-delay drift").result()
        assert lives.read_text() == "7"
        assert pool.submit(task("double"), 4).result() == 8


def test_a_task_past_its_time_limit_is_killed(tmp_path: Path) -> None:
    with WorkerPool(1) as pool:
        process = pool.submit(task("own_process"), None).result()
        with pytest.raises(WorkerDied, match=r"killed after 0\.5 s"):
            pool.submit(task("hang"), str(tmp_path / "pid"), timeout=0.5).result()
        assert not psutil.pid_exists(process)
        assert pool.deaths == 2


def test_closing_kills_what_runs_and_refuses_what_waits(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    os.mkfifo(started)
    pool = WorkerPool(1)
    running = pool.submit(task("hang"), str(started))
    waiting = pool.submit(task("double"), 1)
    process = int(started.read_text())
    pool.close()
    for future in (running, waiting):
        with pytest.raises(PoolClosed):
            future.result()
    assert not psutil.pid_exists(process)
    with pytest.raises(PoolClosed):
        pool.submit(task("double"), 1)
    pool.close()


def test_a_killed_daemon_leaves_no_worker_behind(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    os.mkfifo(started)
    program = (
        "import sys; from daemon.schedule.workers import WorkerPool\n"
        "from tests.unit.schedule.test_workers import task\n"
        "WorkerPool(1).submit(task('hang'), sys.argv[1]).result()"
    )
    daemon = subprocess.Popen([sys.executable, "-c", program, str(started)])
    worker = psutil.Process(int(started.read_text()))
    daemon.kill()
    daemon.wait()
    worker.wait(timeout=60)


def test_a_worker_imports_neither_the_store_nor_kafka_nor_slack() -> None:
    with WorkerPool(1) as pool:
        modules = pool.submit(task("imported"), None).result()
    assert not {"sqlalchemy", "kafka", "slack_sdk", "uvicorn"} & set(modules)
