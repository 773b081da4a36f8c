"""One KRaft node of Apache Kafka on the loopback interface, from the published jars.

`make kafka` runs it in the foreground; the demo and the tests use `LocalKafka`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from deploy.kafka.secured import HOST, OpensslFailed, Secured

CHECKOUT = Path(__file__).resolve().parents[2]
JARS = CHECKOUT / ".kafka" / "jars"
START_SECONDS = 120.0
STOP_SECONDS = 10.0
LOG_LINES = 20

# The first tier of the compiler only: ready in 2.8 s instead of 3.6 s. A long measurement passes `jvm=()`.
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")

_LOGGING = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    # It prints its 300 settings at every start, and would push a failure's cause out of the lines that are shown.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
)

# A broker must not outlive a parent that was SIGKILLed and could not stop it: it would hold its port and memory for
# ever. The shell leaves a watchdog that waits for the end of a pipe which only the parent holds open, and then turns
# into Java under the same process id. A pipe, because Linux's PR_SET_PDEATHSIG fires already when the *thread* that
# started the child ends, and macOS has nothing like it. The watchdog cannot hit a stranger: it is in the process group
# that bears Java's id, and no system gives an id away again while a group has it.
_WATCHED = """
exec 3<&0 </dev/null
{ read -r _ <&3; kill -KILL $$; } 2>/dev/null &
exec "$@" 3<&-
"""

_DEFAULTS = MappingProxyType(
    {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.listener.names": "CONTROLLER",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        # One partition instead of fifty each: the first group and the first transaction wait for their creation.
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # After a SIGKILL the controller refuses the broker until the old session has run out: 9 s by default.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        # Replayed records bear old timestamps; retention by time would delete them while they are being read.
        "log.retention.ms": "-1",
    }
)


class LocalKafkaError(Exception):
    """The local Kafka could not be started: no Java, no jars, or a broker that does not answer."""


class LocalKafka:
    """A single Kafka broker as a child process, with its data in `directory`.

    A context manager: started on entry, stopped on exit. The same directory and port give the same cluster again.

    Args:
        directory: where settings, data and log go; made if missing.
        port: the port of the clients' listener; a free one when none is given.
        jars: the folder that `make kafka-jars` fills; by default the checkout's.
        heap: Java's `-Xmx`.
        properties: broker settings laid over those above, `log.segment.bytes` for one.
        jvm: flags of the virtual machine; the default trades throughput for a quick start.
        users: passwords by name; with any there are listeners for them over TLS as well: see `secured`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        jars: Path | None = None,
        heap: str = "512m",
        properties: Mapping[str, str] = MappingProxyType({}),
        jvm: Sequence[str] = QUICK_START,
        users: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.directory = directory.resolve()
        self.port = _free_port() if port is None else port
        self.bootstrap = f"{HOST}:{self.port}"
        self.secured: Secured | None = None
        if users:
            sasl_ssl, ssl = _free_port(), _free_port()
            self.secured = Secured(self.directory / "certificates", users, sasl_ssl=sasl_ssl, ssl=ssl)
        self._jars = JARS if jars is None else jars
        self._java_flags = (f"-Xmx{heap}", *jvm, *_LOGGING)
        self._overrides = dict(properties)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The broker's log: its standard output and standard error, appended to by every start."""
        return self.directory / "kafka.log"

    @property
    def pid(self) -> int | None:
        """The broker's process id, or None when it is not running."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the broker and wait until it answers; nothing happens when it is already running.

        Raises:
            LocalKafkaError: with the last lines of the broker's log.
        """
        if self.pid is not None:
            return
        self.kill()  # puts away what is left of a broker that ended by itself
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = self._write_settings()
        if not (self._data / "meta.properties").exists():
            self._format(settings)
        command = ["sh", "-c", _WATCHED, "kafka", *self._java(), "kafka.Kafka", str(settings)]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in a terminal must reach driftd alone, which still needs Kafka to stop well.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.directory, start_new_session=True
            )
        try:
            self._wait_until_it_answers(time.monotonic() + START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the broker in order: SIGTERM, and SIGKILL after ten seconds."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop the broker with SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop in order and start again on the same port with the same data."""
        self.stop()
        self.start()

    def wait(self) -> int:
        """Wait until the broker ends by itself and return its exit status."""
        if self._process is None:
            raise LocalKafkaError("Kafka is not running: call start() first")
        return self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _java(self) -> list[str]:
        if not any(self._jars.glob("kafka_*.jar")):
            raise LocalKafkaError(f"Kafka's jars are not in {self._jars}: run make kafka-jars")
        java = shutil.which("java", path=_java_path())
        if java is None:
            raise LocalKafkaError(
                "Java 17 or newer is missing. Debian: apt-get install openjdk-17-jdk-headless; "
                "macOS: brew install openjdk"
            )
        return [java, *self._java_flags, "-cp", f"{self._jars.resolve()}/*"]

    def _write_settings(self) -> Path:
        controller = _free_port()
        listeners = f"PLAINTEXT://{self.bootstrap}"
        secured: Mapping[str, str] = {}
        if self.secured is not None:
            try:
                self.secured.make_certificates()
            except OpensslFailed as error:
                raise LocalKafkaError(str(error)) from error
            listeners += f",{self.secured.listeners}"
            secured = self.secured.properties
        settings = {
            **_DEFAULTS,
            **secured,
            "listeners": f"{listeners},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": listeners,
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "log.dirs": str(self._data),
            **self._overrides,
        }
        path = self.directory / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return path

    def _format(self, settings: Path) -> None:
        # A directory whose formatting was interrupted holds a part of it; the tool itself finishes the rest.
        command = [*self._java(), "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        command += ["--cluster-id", _cluster_id(), "--config", str(settings)]
        command += self.secured.format_options if self.secured is not None else []
        with self.log.open("ab") as log:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if done.returncode:
            raise self._failure(f"Kafka's storage could not be formatted (exit status {done.returncode})")

    def _wait_until_it_answers(self, deadline: float) -> None:
        while self.pid is not None:
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise self._failure(f"Kafka did not answer on {self.bootstrap} within {START_SECONDS:g} s")
            time.sleep(0.05)
        assert self._process is not None
        raise self._failure(f"Kafka ended while it started (exit status {self._process.returncode})")

    def _answers(self) -> bool:
        # The plain connection comes first, because an admin client that fails to bootstrap leaves its thread behind.
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=5000)
        except (OSError, KafkaError):
            return False
        with contextlib.closing(admin):
            return any(broker["port"] == self.port for broker in admin.describe_cluster()["brokers"])

    def _end(self, by: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        # Popen never signals a child that it has already waited for, so the id is always the broker's own.
        process.send_signal(by)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            process.stdin.close()

    def _failure(self, what: str) -> LocalKafkaError:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return LocalKafkaError("\n".join([f"{what}. The end of {self.log}:", *lines]))


def _java_path() -> str:
    home = os.environ.get("JAVA_HOME")
    path = os.environ.get("PATH", os.defpath)
    return f"{home}/bin{os.pathsep}{path}" if home else path


def _cluster_id() -> str:
    """A random id in Kafka's form, 22 characters of base64. A leading dash would be read as an option."""
    return "K" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def _free_port() -> int:
    """A port that nobody listens on, below those that systems hand out to clients.

    Among the handed-out ones, a client that keeps on reconnecting to a stopped broker sooner or later gets the broker's
    own port as its local one and connects to itself; the broker could then not come back.
    """
    for port in random.sample(range(15_000, 32_000), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port
    raise LocalKafkaError(f"no free port was found on {HOST}")


def main() -> int:
    """Run one broker in the foreground until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=CHECKOUT / ".kafka" / "local", help="settings, data and log")
    parser.add_argument("--port", type=int, default=9092)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    kafka = LocalKafka(arguments.directory, port=arguments.port)
    try:
        with kafka:
            print(f"Kafka listens on {kafka.bootstrap}; its log is {kafka.log}; Ctrl-C stops it.", flush=True)
            status = kafka.wait()
            print(f"Kafka ended with exit status {status}; see {kafka.log}", file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        return 0
    except LocalKafkaError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
