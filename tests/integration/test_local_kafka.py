"""The local Kafka is a real one: it keeps its data over a restart and a crash, and never outlives its parent."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from deploy.kafka.local import LocalKafka, LocalKafkaError
from tests.conftest import BREAKS_A_BROKER, Broker, MakeTopic

HOLDER = """
import sys, time
from pathlib import Path
from deploy.kafka.local import LocalKafka
kafka = LocalKafka(Path(sys.argv[1]), jars=Path(sys.argv[2]))
kafka.start()
print(kafka.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def kept(own_broker: LocalKafka, request: pytest.FixtureRequest) -> str:
    """A topic on the broker that may be stopped."""
    name = f"kept-{request.node.name}"
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=own_broker.bootstrap)) as admin:
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    return name


def produce(bootstrap: str, topic: str, values: list[bytes], **settings: object) -> None:
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap, acks="all", **settings)) as producer:
        for sent in [producer.send(topic, value, partition=0) for value in values]:
            sent.get(timeout=60)


def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    values: list[bytes] = []
    with contextlib.closing(
        KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=30_000)
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        for record in consumer:
            values.append(record.value)
            if len(values) == count:
                break
    return values


@pytest.mark.parametrize("codec", [None, "lz4", "zstd", "snappy", "gzip"])
def test_what_is_produced_is_consumed_in_every_codec(kafka: Broker, topic: MakeTopic, codec: str | None) -> None:
    name = topic()
    sent = [f"{index}".encode() * 50 for index in range(200)]
    produce(kafka.bootstrap, name, sent, compression_type=codec)
    assert consume(kafka.bootstrap, name, len(sent)) == sent


def test_a_topic_has_a_name_of_its_own_and_the_partitions_asked_for(topic: MakeTopic, admin: KafkaAdminClient) -> None:
    three, one = topic(partitions=3), topic(configs={"cleanup.policy": "compact"})
    assert three != one
    described = {found["name"]: len(found["partitions"]) for found in admin.describe_topics([three, one])}
    assert described == {three: 3, one: 1}


@BREAKS_A_BROKER
def test_a_restart_keeps_the_data_and_the_address(own_broker: LocalKafka, kept: str) -> None:
    before, bootstrap = own_broker.pid, own_broker.bootstrap
    produce(own_broker.bootstrap, kept, [b"a", b"b"])
    own_broker.restart()
    assert own_broker.pid != before
    assert own_broker.bootstrap == bootstrap
    assert consume(own_broker.bootstrap, kept, 2) == [b"a", b"b"]


@BREAKS_A_BROKER
def test_a_killed_broker_comes_back_with_its_data(own_broker: LocalKafka, kept: str) -> None:
    produce(own_broker.bootstrap, kept, [b"a", b"b"])
    pid = own_broker.pid
    assert pid is not None
    own_broker.kill()
    assert own_broker.pid is None
    assert not psutil.pid_exists(pid)
    own_broker.start()
    assert consume(own_broker.bootstrap, kept, 2) == [b"a", b"b"]


@BREAKS_A_BROKER
def test_records_with_old_timestamps_are_not_expired(own_broker: LocalKafka, kept: str) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, kept)
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=own_broker.bootstrap)) as admin:
        described = admin.describe_configs([resource], config_filter="all")
    (settings,) = (topics[kept] for topics in described.values())
    assert settings["retention.ms"]["value"] == "-1"


def test_the_broker_dies_with_a_parent_that_is_killed(tmp_path: Path, kafka_jars: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), str(kafka_jars)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        broker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    psutil.wait_procs([broker], timeout=60)
    assert not broker.is_running()


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path, kafka_jars: Path) -> None:
    broken = LocalKafka(tmp_path, jars=kafka_jars, properties={"log.cleaner.threads": "many"})
    with pytest.raises(LocalKafkaError, match=r"could not be formatted(.|\n)*log\.cleaner\.threads"):
        broken.start()
    assert broken.pid is None


def test_missing_jars_are_named_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(LocalKafkaError, match="make kafka-jars"):
        LocalKafka(tmp_path, jars=tmp_path / "none").start()


def test_missing_java_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kafka_2.13-4.1.1.jar").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(LocalKafkaError, match="apt-get install openjdk"):
        LocalKafka(tmp_path, jars=tmp_path).start()
