"""`driftd backtest`: what would have been told of history, from Kafka and from files, and what a change makes of it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition

from daemon.cli.errors import Exit
from deploy.slack.local import LocalSlack
from detectors.instants import DAY, rfc3339
from tests.conftest import Broker, MakeTopic
from tests.integration.shop import AN_HOUR, START, configure, driftd, orders, produce, produce_labels, results

NOT_THE_RUNS_OWN = ("config_hash", "incident")


def history() -> list[pd.DataFrame]:
    """Three ordinary days, and three in which amounts are 25 higher."""
    return [orders(0, 3, seed=5), orders(3, 3, seed=6, shift=25.0)]


def backtest(config: Path, *arguments: str | Path) -> dict[str, Any]:
    done = driftd("backtest", "--config", config, "--format", "json", *arguments)
    assert done.returncode == Exit.FINE, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def judged(config: Path) -> list[dict[str, Any]]:
    """Every finding without what names the run that it is from."""
    return [{key: value for key, value in row.items() if key not in NOT_THE_RUNS_OWN} for row in results(config)]


@pytest.fixture
def produced(kafka: Broker, topic: MakeTopic) -> tuple[str, str, str]:
    """A broker with that history: its address, and the topics of predictions and labels."""
    predictions, labels = topic(2), topic(2)
    for frame in history():
        produce(kafka.bootstrap, predictions, frame)
        produce_labels(kafka.bootstrap, labels, frame)
    return kafka.bootstrap, predictions, labels


def test_kafka_and_files_tell_what_the_daemon_tells(produced: tuple[str, str, str], tmp_path: Path) -> None:
    # Given what the daemon has told of a history
    bootstrap, predictions, labels = produced
    config = configure(tmp_path, bootstrap, predictions, labels)
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    told = judged(config)
    assert told
    # and the same history in files, the later file first
    folder = tmp_path / "history"
    folder.mkdir()
    for name, frame in zip(("b", "a"), history(), strict=True):
        rows = frame.assign(model_version="7", label_time=frame["ts"] + AN_HOUR)
        rows.to_parquet(folder / f"{name}.parquet")
    # When it is replayed from both
    by_kafka = backtest(config, "--keep", tmp_path / "kafka")
    by_files = backtest(config, "orders", "--from", folder, "--label-time", "label_time", "--keep", tmp_path / "files")
    # Then each tells of the same windows the same
    assert judged(tmp_path / "kafka" / "present") == told
    assert judged(tmp_path / "files" / "present") == told
    assert by_kafka == by_files
    (incident,) = by_kafka["incidents"]
    assert incident["present"]["since"] >= rfc3339(START + 2 * DAY)
    assert "predictions drifted" in incident["present"]["what"]
    # and what was kept can be asked
    explained = driftd("explain", incident["present"]["incident"], "--config", tmp_path / "files" / "present")
    assert "predictions drifted" in explained.stdout


def test_a_change_is_held_against_the_present_and_nothing_is_sent(
    produced: tuple[str, str, str], tmp_path: Path
) -> None:
    bootstrap, predictions, labels = produced
    with LocalSlack() as slack:
        # Given a configuration whose bot has its token somewhere else
        config = configure(tmp_path, bootstrap, predictions, labels, slack=slack.url)
        config.write_text(config.read_text().replace("xoxb-local", "${A_TOKEN_THAT_IS_NOT_HERE}"))
        # When it is asked what a longer wait would have changed
        found = backtest(config, "--set", "models.orders.alerts.for=6 windows")
        # Then the incident would have been lost
        (pair,) = found["incidents"]
        assert (pair["outcome"], pair["changed"]) == ("lost", None)
        assert found["windows"]["present"] == found["windows"]["changed"]
        (prediction,) = [one for one in found["flagged"] if one["signal"] == "prediction_drift"]
        assert prediction["present"] == prediction["changed"] > 0
        # and nobody is told, neither people nor Kafka nor the daemon's store
        assert slack.threads() == []
    with contextlib.closing(KafkaConsumer(bootstrap_servers=bootstrap, group_id="driftd-test")) as consumer:
        assert consumer.committed(TopicPartition(predictions, 0)) is None
    assert not (tmp_path / "driftd.db").exists()


def test_it_begins_where_it_is_told_to(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    predictions = topic(2)
    produce(kafka.bootstrap, predictions, orders(0, 3, seed=5))
    config = configure(tmp_path, kafka.bootstrap, predictions, None)
    # Each partition has half of a day's 240 rows.
    for begin in (("--offset", "240"), ("--since", rfc3339(START + 2 * DAY))):
        assert backtest(config, *begin)["windows"]["present"]["orders"] == {"drift": 1}


def test_a_history_too_short_for_a_window_cannot_be_decided(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    predictions = topic(1)
    with contextlib.closing(KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")) as producer:
        body = {"id": "a", "ts": "2013-03-01T00:30:00Z", "features": {"amount": 1.0}, "prediction": 1.0}
        producer.send(predictions, json.dumps(body).encode(), timestamp_ms=START // 1_000 + 1_800_000)
    config = configure(tmp_path, kafka.bootstrap, predictions, None)
    done = driftd("backtest", "--config", config)
    assert done.returncode == Exit.UNDECIDED
    assert "no window was judged" in done.stderr
