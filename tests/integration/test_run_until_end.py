"""From Kafka rows to one Slack thread: `driftd run --until-end` over a topic of a shop's orders."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from kafka import KafkaProducer

from daemon.cli.errors import Exit
from deploy.slack.local import LocalSlack
from detectors.instants import DAY, rfc3339
from tests.conftest import Broker, MakeTopic
from tests.integration.fields import FIELDS
from tests.integration.shop import ROWS_A_DAY, START, configure, driftd, orders, produce, produce_labels, results


def test_a_shift_becomes_one_incident_in_one_thread(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    # Given eight ordinary days, and four in which amounts are 25 higher, with their labels
    predictions, labels = topic(2), topic(2)
    calm, shifted = orders(0, 8, seed=5), orders(8, 4, seed=6, shift=25.0)
    for frame in (calm, shifted):
        produce(kafka.bootstrap, predictions, frame)
        produce_labels(kafka.bootstrap, labels, frame)
    with LocalSlack() as slack:
        config = configure(tmp_path, kafka.bootstrap, predictions, labels, slack=slack.url)
        # When
        done = driftd("run", "--until-end", "--config", config)
        # Then it ends by itself
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        found = results(config)
        # every finding has exactly the promised fields
        assert all(list(row) == FIELDS for row in found)
        # every window that ends within the data was judged: its rows are those that were produced
        drift = {row["window_end"]: row["rows"] for row in found if row["metric"] == "rows"}
        assert drift[rfc3339(START + DAY)] == ROWS_A_DAY
        assert drift[rfc3339(START + DAY // 2)] == ROWS_A_DAY // 2
        # (the last row is of 23:54, so the day's own window does not end within the data)
        assert len(drift) == 23
        # the ordinary days are quiet, the others are one incident
        # (the first window misses the half day before the first row, and is held for that)
        whole = [row for row in found if row["window_start"] >= rfc3339(START)]
        flagged = [row for row in whole if row["verdict"] in ("drift", "degraded", "violated")]
        assert {row["window_end"] > rfc3339(START + 8 * DAY) for row in flagged} == {True}
        assert len({row["incident"] for row in flagged} - {None}) == 1
        assert {"prediction_drift", "feature_drift"} <= {row["signal"] for row in flagged}
        # quality was judged by the labels
        quality = [row for row in found if row["metric"] == "mae"]
        assert quality[-1]["rows"] == ROWS_A_DAY
        # and one thread tells of it
        (thread,) = slack.threads()
        assert thread.channel == "#orders"
    # and what it left can be asked
    status = driftd("status", "--config", config, "--verify")
    assert status.returncode == 0, status.stdout
    assert "The books balance." in status.stdout
    (incident,) = {row["incident"] for row in flagged} - {None}
    explained = driftd("explain", incident, "--config", config)
    assert "predictions drifted" in explained.stdout
    explained = driftd("explain", "orders", "--config", config)
    assert "calibrated, 30 windows of its own" in explained.stdout
    page = tmp_path / "report.html"
    assert driftd("report", "orders", "--config", config, "--output", page).returncode == 0
    assert "<html" in page.read_text()


def test_bad_messages_are_dead_letters_and_the_others_count(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    predictions = topic(2)
    produce(kafka.bootstrap, predictions, orders(0, 1, seed=5))
    with contextlib.closing(KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")) as producer:
        for body in (b"no json", b'{"id": "a", "ts": "1970-01-01T00:00:00Z", "features": {}, "prediction": 1}', b"{}"):
            producer.send(predictions, body, partition=0, timestamp_ms=(START + DAY) // 1000)
    produce(kafka.bootstrap, predictions, orders(1, 1, seed=6))
    config = configure(tmp_path, kafka.bootstrap, predictions, None)
    assert driftd("check", "--live", "--config", config).returncode == 0
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    letters = driftd("dead-letters", "list", "--config", config, "--format", "json").stdout.splitlines()
    assert len(letters) == 3
    assert {json.loads(letter)["partition"] for letter in letters} == {0}
    status = json.loads(driftd("status", "--config", config, "--format", "json").stdout)
    assert status["models"][0]["rows"] == 2 * ROWS_A_DAY
    assert status["models"][0]["books"]["dead_lettered"] == 3


def test_status_says_why_a_model_has_no_row(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    predictions = topic(1)
    with contextlib.closing(KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")) as producer:
        for number in range(3):
            producer.send(predictions, b'{"id": "%d", "ts": "2013-03-01T00:00:00Z", "model": "returns"}' % number)
    source = {"topic": predictions, "start": "earliest", "where": {"model": "orders"}}
    config = configure(tmp_path, kafka.bootstrap, predictions, None, model={"predictions": source})
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    status = driftd("status", "--config", config).stdout
    assert (
        "orders has no row yet: none of the 3 messages read so far is a prediction of it: "
        "3 ignored (predictions.where is {model: orders})." in status
    )


def test_a_second_run_has_nothing_to_add(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    predictions = topic(2)
    produce(kafka.bootstrap, predictions, orders(0, 3, seed=5))
    config = configure(tmp_path, kafka.bootstrap, predictions, None)
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    before = results(config, "--revisions", "all")
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    assert results(config, "--revisions", "all") == before


def test_a_topic_that_does_not_exist_ends_the_run_with_its_name(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    predictions = topic(2)
    config = configure(tmp_path, kafka.bootstrap, predictions, f"{predictions}.labels")
    done = driftd("run", "--until-end", "--config", config)
    assert done.returncode == Exit.UNREACHABLE
    assert f"{predictions}.labels does not exist yet" in done.stderr.splitlines()[-1]
    status = driftd("status", "--config", config).stdout
    assert f"The topic {predictions}.labels does not exist yet: it is waited for." in status
