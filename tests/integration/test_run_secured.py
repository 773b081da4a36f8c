"""Kafka that lets nobody in without a password or a certificate: the real command, and why it was not let in."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient

from daemon.cli.errors import Exit
from daemon.config.settings import Kafka
from daemon.stream import consumer
from daemon.stream.consumer import Consumer
from daemon.stream.errors import KafkaUnreachable
from deploy.kafka.local import LocalKafka
from deploy.kafka.secured import Secured, make_authority
from tests.integration.shop import configure, driftd, orders, produce, results
from tests.integration.test_run_service import running, until

pytestmark = pytest.mark.xdist_group("secured Kafka")

USER, PASSWORD = "driftd", "a secret"
TOPIC = "orders"


@pytest.fixture(scope="module")
def broker(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker with one user and certificates of its own, and a topic."""
    with LocalKafka(tmp_path_factory.mktemp("secured"), jars=kafka_jars, users={USER: PASSWORD}) as started:
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=started.bootstrap)) as admin:
            admin.create_topics({TOPIC: {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
        yield started


@pytest.fixture
def secured(broker: LocalKafka) -> Secured:
    assert broker.secured is not None
    return broker.secured


def by_password(secured: Secured, **changes: Any) -> dict[str, Any]:
    """The section `kafka` that is let in by the user's password; `changes` go into `sasl`, or by `ssl` into that."""
    ssl = {"ca_file": str(secured.ca_file)} | changes.pop("ssl", {})
    sasl = {"mechanism": "SCRAM-SHA-512", "username": USER, "password": PASSWORD} | changes
    return {"bootstrap_servers": [secured.sasl_ssl], "security_protocol": "SASL_SSL", "sasl": sasl, "ssl": ssl}


def configure_by_file(broker: LocalKafka, secured: Secured, folder: Path, password: str) -> Path:
    """A configuration that names a file with this password."""
    config = configure(folder, broker.bootstrap, TOPIC, None)
    document = yaml.safe_load(config.read_text())
    (folder / "password").write_text(f"{password}\n")
    document["kafka"] = by_password(secured, password_file="password")
    del document["kafka"]["sasl"]["password"]
    config.write_text(yaml.safe_dump(document))
    return config


def by_certificate(secured: Secured, **changes: Any) -> dict[str, Any]:
    """The section `kafka` that is let in by a client's certificate; `changes` go into `ssl`."""
    own = {"certificate_file": str(secured.certificate_file), "key_file": str(secured.key_file)}
    ssl = {"ca_file": str(secured.ca_file)} | own | changes
    return {"bootstrap_servers": [secured.ssl], "security_protocol": "SSL", "ssl": ssl}


def test_a_run_over_tls_with_a_password_and_the_reasons_why_another_is_not_let_in(
    broker: LocalKafka, secured: Secured, tmp_path: Path
) -> None:
    # Given the password in a file
    produce(broker.bootstrap, TOPIC, orders(0, 2, seed=5))
    config = configure_by_file(broker, secured, tmp_path, PASSWORD)
    # When and then
    done = driftd("run", "--until-end", "--config", config)
    assert done.returncode == 0, done.stderr
    assert {row["rows"] for row in results(config) if row["metric"] == "rows"} == {120, 240}
    # Given the wrong password
    (tmp_path / "password").write_text("another\n")
    done = driftd("run", "--until-end", "--config", config)
    assert done.returncode == Exit.UNREACHABLE
    assert f"Kafka at {secured.sasl_ssl} refuses the user 'driftd': check kafka.sasl." in done.stderr
    # Given the wrong authority
    make_authority(tmp_path / "stranger.pem")
    document = yaml.safe_load(config.read_text())
    document["kafka"]["ssl"]["ca_file"] = "stranger.pem"
    config.write_text(yaml.safe_dump(document))
    done = driftd("check", "--live", "--config", config)
    assert done.returncode == Exit.UNREACHABLE
    assert f"Kafka at {secured.sasl_ssl} and driftd cannot agree on TLS: check kafka.ssl" in done.stderr


def test_a_service_that_is_not_let_in_says_so_and_tries_again_with_what_the_file_holds_then(
    broker: LocalKafka, secured: Secured, tmp_path: Path
) -> None:
    config = configure_by_file(broker, secured, tmp_path, "another")
    with running(config) as service:
        service.wait_for("refuses the user 'driftd'")
        until("the status says so", lambda: "refuses the user 'driftd'" in driftd("status", "--config", config).stdout)
        (tmp_path / "password").write_text(PASSWORD)
        service.process.send_signal(signal.SIGHUP)
        until("it was let in", lambda: "refuses" not in driftd("status", "--config", config).stdout)
        assert service.end() == 0


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_the_other_mechanisms(secured: Secured, mechanism: str) -> None:
    assert _topics(by_password(secured, mechanism=mechanism)) == [TOPIC]


def test_a_certificate_of_the_client(secured: Secured) -> None:
    assert _topics(by_certificate(secured)) == [TOPIC]


def test_a_broker_of_another_name_is_spoken_to_only_where_names_are_not_checked(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "BOOTSTRAP_MS", 1_000)
    named = {"bootstrap_servers": [secured.ssl.replace("127.0.0.1", "localhost")]}
    assert _topics(by_certificate(secured, check_hostname=False) | named) == [TOPIC]
    with pytest.raises(KafkaUnreachable, match="not valid for 'localhost'"):
        _topics(by_certificate(secured) | named)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"certificate_file": None, "key_file": None}, "cannot agree on TLS"),
        ({"ca_file": "/nowhere.pem"}, r"certificates for Kafka cannot be used \(/nowhere.pem, .*No such file"),
    ],
)
def test_certificates_that_are_missing_are_named(
    secured: Secured, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr(consumer, "BOOTSTRAP_MS", 1_000)
    with pytest.raises(KafkaUnreachable, match=reason):
        _topics(by_certificate(secured, **changes))


def _topics(section: dict[str, Any]) -> list[str]:
    with contextlib.closing(Consumer(Kafka.model_validate(section), client_id="test", max_poll_records=1)) as opened:
        return list(opened.describe([TOPIC, "another"]).topics)
