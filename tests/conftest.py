"""Fixtures over real services. A missing service is a loud skip on a desk and a failure when CI=true."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn, Protocol

import pytest
from hypothesis import HealthCheck, settings
from kafka import KafkaAdminClient

from deploy.kafka.local import CHECKOUT, JARS, LocalKafka

# Laid over Hypothesis' own profile for a desk or for CI: how long an example takes says only how busy the machine is.
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

BREAKS_A_BROKER = pytest.mark.xdist_group("own broker")


class Broker(Protocol):
    """A Kafka that answers: one that the tests started, or the one that KAFKA_BOOTSTRAP_SERVERS names."""

    bootstrap: str


class MakeTopic(Protocol):
    """Makes a topic with a name of its own, waits until it has leaders, and returns the name."""

    def __call__(self, partitions: int = 1, configs: Mapping[str, str] = {}) -> str: ...


class ForeignBroker:
    """A Kafka that the tests did not start and may not stop."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap


def missing(service: str, how: str) -> NoReturn:
    """Skip for the lack of a service, saying how to get it; in continuous integration fail instead."""
    message = f"{service} is missing: {how}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The folder with Kafka's jars, fetched with Maven when they are not there yet."""
    tools = subprocess.run(
        ["sh", "deploy/kafka/prerequisites.sh", "java"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if tools.returncode:
        missing("Java", tools.stderr.strip())
    # Of the processes that run the tests one fetches, and the others wait for it.
    with (CHECKOUT / "deploy/kafka/pom.xml").open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fetched = subprocess.run(
            ["make", "--no-print-directory", "kafka-jars"], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
    if fetched.returncode:
        missing("Kafka", (fetched.stderr or fetched.stdout).strip())
    return JARS


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker that all tests of a process share: `.bootstrap` is its address. Nobody stops or kills this one."""
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield ForeignBroker(servers)
        return
    jars: Path = request.getfixturevalue("kafka_jars")
    with LocalKafka(tmp_path_factory.mktemp("kafka"), jars=jars) as broker:
        yield broker


@pytest.fixture(scope="session")
def broker_to_break(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """What `own_broker` starts and stops; not for a test."""
    broker = LocalKafka(tmp_path_factory.mktemp("own-kafka"), jars=kafka_jars)
    yield broker
    broker.stop()


@pytest.fixture
def own_broker(broker_to_break: LocalKafka) -> LocalKafka:
    """A broker that a test may stop, kill and damage, in topics of its own. It runs when the test begins.

    Mark the test with `BREAKS_A_BROKER`, so that one process has all of these tests and starts one such broker.
    """
    broker_to_break.start()
    return broker_to_break


@pytest.fixture
def admin(kafka: Broker) -> Iterator[KafkaAdminClient]:
    """An admin client of the shared broker."""
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as client:
        yield client


@pytest.fixture
def topic(admin: KafkaAdminClient, request: pytest.FixtureRequest) -> Iterator[MakeTopic]:
    """Makes topics on the shared broker, deleted when the test ends: `topic(partitions=3)` returns the name."""
    made: list[str] = []
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.name)[:80]

    def make(partitions: int = 1, configs: Mapping[str, str] = {}) -> str:
        name = f"{stem}.{uuid.uuid4().hex[:8]}"
        admin.create_topics(
            {name: {"num_partitions": partitions, "replication_factor": 1, "configs": dict(configs)}},
            wait_for_metadata=True,
        )
        made.append(name)
        return name

    yield make
    if made:
        admin.delete_topics(made)


def pytest_xdist_auto_num_workers() -> int:
    """How many processes `-n auto` means: one more than there are processors, for many tests wait for daemons."""
    return (os.cpu_count() or 1) + 1
