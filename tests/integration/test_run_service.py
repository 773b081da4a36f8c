"""`driftd run` as a service: its port, its signals, its one store, and models that cannot run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import numpy as np
import psutil
import pytest
import yaml

from daemon.cli.errors import Exit
from tests.conftest import Broker, MakeTopic
from tests.integration.shop import configure, driftd, orders, produce, results

PATIENCE = 180.0


class Service:
    """A running `driftd run`, with its log as it comes."""

    def __init__(self, config: Path, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("driftd"), "run", "--config", config, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip())
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def log(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str) -> str:
        """The first line of the log that holds a text."""

        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self._news:
            assert self._news.wait_for(lambda: found() is not None or self.process.poll() is not None, PATIENCE)
        line = found()
        assert line is not None, self.log()
        return line

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE)
        self._reader.join()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def running(config: Path, *arguments: str, **environment: str) -> Iterator[Service]:
    service = Service(config, *arguments, **environment)
    try:
        yield service
    finally:
        service.close()


def ask(address: str, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://{address}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except URLError:
        return 0, ""


def until(question: str, holds: object) -> None:
    """Asks again and again, for as long as patience lasts."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.2)):
        if holds():  # type: ignore[operator]
            return
        pause.wait(0.2)
    pytest.fail(f"never came true: {question}")


def test_a_service_answers_counts_and_stops_in_order(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    predictions = topic(2)
    produce(kafka.bootstrap, predictions, orders(0, 2, seed=5))
    config = configure(tmp_path, kafka.bootstrap, predictions, None, http={"listen": "127.0.0.1:0"})
    with running(config) as service:
        address = service.wait_for("listening on").rpartition(" ")[2]
        profiled = 'driftd_predictions_total{fate="profiled",installation="test",model="orders"} 480.0'
        until("every row is counted", lambda: profiled in ask(address, "/metrics")[1])
        assert ask(address, "/healthz") == (200, '{"status":"fine","problems":[]}')
        until("it is ready", lambda: ask(address, "/readyz") == (200, '{"status":"fine","problems":[]}'))
        until("both windows are judged", lambda: len({row["window_end"] for row in results(config)}) >= 2)
        # a second daemon is told who holds the store
        second = driftd("run", "--config", config)
        assert second.returncode == Exit.STORE_HELD
        assert f"pid {service.process.pid}" in second.stderr or str(service.process.pid) in second.stderr
        # and reading verbs go on beside the first
        status = json.loads(driftd("status", "--config", config, "--format", "json").stdout)
        assert (status["daemon"], status["models"][0]["state"]) == ("running", "running")
        assert service.end() == 0
    assert "SIGTERM: stopping" in service.log()
    assert "Traceback" not in service.log()


def test_a_killed_daemon_leaves_no_process_and_loses_no_row(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    predictions = topic(2)
    produce(kafka.bootstrap, predictions, orders(0, 2, seed=5))
    config = configure(tmp_path, kafka.bootstrap, predictions, None)
    with running(config) as service:
        service.wait_for("reference")
        children = psutil.Process(service.process.pid).children(recursive=True)
        assert children
        assert service.end(signal.SIGKILL) == -signal.SIGKILL
    gone, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert (len(gone), alive) == (len(children), [])
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    assert driftd("status", "--config", config, "--verify").returncode == 0
    last = [row for row in results(config) if row["metric"] == "rows"][-1]
    assert last["rows"] == 240


def test_a_second_signal_ends_it_at_once(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    config = configure(tmp_path, kafka.bootstrap, topic(1), None)
    with running(config) as service:
        service.wait_for("reference")
        service.process.send_signal(signal.SIGINT)
        service.wait_for("SIGINT: stopping")
        # Either it has ended in order before the second signal came, or that one has ended it.
        assert service.end(signal.SIGINT) in (0, 128 + signal.SIGINT)


def test_a_hangup_reads_the_configuration_anew_and_a_bad_model_keeps_its_last_good_settings(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    def write(document: dict[str, Any]) -> None:
        config.write_text(yaml.safe_dump(document))
        service.process.send_signal(signal.SIGHUP)

    def states() -> dict[str, str]:
        found = json.loads(driftd("status", "--config", config, "--format", "json").stdout)
        return {model["model"]: model["state"] for model in found["models"]}

    def metrics() -> str:
        address = [line for line in service.lines if "listening on" in line][-1].rpartition(" ")[2]
        return ask(address, "/metrics")[1]

    def counted(model: str, rows: int) -> bool:
        return f'driftd_predictions_total{{fate="profiled",installation="test",model="{model}"}} {rows}.0' in metrics()

    # Given a service of one model
    predictions, others = topic(2), topic(2)
    for name in (predictions, others):
        produce(kafka.bootstrap, name, orders(0, 1, seed=5))
    config = configure(tmp_path, kafka.bootstrap, predictions, None, http={"listen": "127.0.0.1:0"})
    sound = yaml.safe_load(config.read_text())
    sound["models"]["returns"] = sound["models"]["orders"] | {"predictions": {"topic": others, "start": "earliest"}}
    with running(config) as service:
        service.wait_for("listening on")
        until("the rows of orders are counted", lambda: counted("orders", 240))
        # When a second model is written, and the first one wrongly
        bad = sound["models"]["orders"] | {"window": {"size": "1x"}}
        write(sound | {"models": sound["models"] | {"orders": bad}})
        # Then the new one runs, and the old one as before
        service.wait_for("orders goes on with its settings of before")
        produce(kafka.bootstrap, predictions, orders(1, 1, seed=6))
        until("the rows of both are counted", lambda: counted("orders", 480) and counted("returns", 240))
        assert "driftd_configuration_valid" in metrics()
        assert 'driftd_configuration_valid{installation="test"} 0.0' in metrics()
        status = driftd("status", "--config", config)
        assert status.returncode == 0
        assert "'1x' has the unknown unit" in status.stdout
        assert "the configuration of orders is wrong, `driftd check` says why" in status.stderr
        assert driftd("check", "--config", config).returncode == Exit.CONFIGURATION
        # When what all share is wrong, nothing changes
        write(sound | {"clock": "sundial"})
        service.wait_for("the configuration cannot be used, the one before goes on")
        service.wait_for("clock: must be wall or event, not 'sundial'")
        write(sound | {"store": {"path": "another.db"}})
        service.wait_for("store.path cannot change")
        produce(kafka.bootstrap, others, orders(1, 1, seed=6))
        until("rows are counted all the same", lambda: counted("returns", 480))
        # When all is right again, all is well
        write(sound)
        until("it is valid", lambda: 'driftd_configuration_valid{installation="test"} 1.0' in metrics())
        until("both run", lambda: states() == {"orders": "running", "returns": "running"})
        assert service.end() == 0
    assert "Traceback" not in service.log()
    assert driftd("status", "--config", config, "--verify").returncode == 0
    assert results(config)


def test_a_model_without_its_reference_waits_and_the_others_run(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    predictions = topic(2)
    produce(kafka.bootstrap, predictions, orders(0, 2, seed=5))
    config = configure(tmp_path, kafka.bootstrap, predictions, None)
    document = yaml.safe_load(config.read_text())
    document["models"]["returns"] = document["models"]["orders"] | {"reference": {"uri": "returns.parquet"}}
    config.write_text(yaml.safe_dump(document))
    done = driftd("run", "--until-end", "--config", config)
    assert done.returncode == 0, done.stderr
    assert "returns was not judged" in done.stderr
    assert {row["model"] for row in results(config)} == {"orders"}
    status = driftd("status", "--config", config).stdout
    assert "returns  waiting" in status
    assert "returns.parquet does not exist" in status


def test_a_worker_that_is_killed_costs_nothing(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    predictions = topic(2)
    produce(kafka.bootstrap, predictions, orders(0, 4, seed=5))
    config = configure(tmp_path, kafka.bootstrap, predictions, None)
    with running(config, "--until-end", DRIFTD_CRASH_AT="worker.before_result:3") as service:
        assert service.process.wait(timeout=PATIENCE) == 0
    assert "worker ended during" in service.log()
    found = results(config)
    assert "error" not in {row["verdict"] for row in found}
    assert len({row["window_end"] for row in found}) == 7


@pytest.mark.parametrize("point", ["compaction.before_transaction", "compaction.after_transaction"])
def test_a_death_in_compaction_changes_no_number(kafka: Broker, topic: MakeTopic, tmp_path: Path, point: str) -> None:
    # Given rows of one hour, in so many checkpoints that there is something to compact
    predictions = topic(2)
    frame = orders(0, 2, seed=5)
    frame["ts"] = frame["ts"].dt.floor("1D")
    config = configure(tmp_path, kafka.bootstrap, predictions, None, store={"checkpoint": "1ms"})
    batches = iter(np.array_split(np.arange(len(frame)), 80))
    sent = 0
    with running(config, DRIFTD_CRASH_AT=point) as service:
        service.wait_for("reference")
        while service.process.poll() is None and (batch := next(batches, None)) is not None:
            produce(kafka.bootstrap, predictions, frame.iloc[batch])
            sent += len(batch)
        # When it dies there
        assert service.process.wait(timeout=PATIENCE) == -signal.SIGKILL
    # Then the next run counts on
    produce(kafka.bootstrap, predictions, orders(2, 1, seed=6))
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    assert driftd("status", "--config", config, "--verify").returncode == 0
    status = json.loads(driftd("status", "--config", config, "--format", "json").stdout)
    assert status["models"][0]["rows"] == sent + 240
