"""Models that have no reference file: their first windows become the reference, and then they are judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from deploy.kafka.local import CHECKOUT
from deploy.slack.local import LocalSlack
from detectors.instants import DAY, HOUR, rfc3339
from tests.conftest import Broker, MakeTopic
from tests.integration.shop import ROWS_A_DAY, START, driftd, orders, produce, produce_labels, results


def minimal(folder: Path, bootstrap: str, predictions: str, labels: str, slack: str, **more: Mapping[str, Any]) -> Path:
    """The ten lines of configs/minimal.yaml over these topics, for a replay from their beginning."""
    document = yaml.safe_load((CHECKOUT / "configs" / "minimal.yaml").read_text())
    (model,) = document["models"].values()
    model["predictions"] = {"topic": predictions, "start": "earliest"}
    model["labels"] = {"topic": labels, "start": "earliest"}
    document |= {"clock": "event", "kafka": {"bootstrap_servers": bootstrap}, "models": {"orders": model, **more}}
    document["slack"] = {"bot_token": "xoxb-local", "api_url": slack}
    path = folder / "driftd.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_first_fourteen_days_are_the_reference_and_a_shift_is_one_incident(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    # Given a fortnight of ordinary days and four more, then four in which amounts are 25 higher
    predictions, labels, other = topic(2), topic(2), topic(2)
    for frame in (orders(0, 18, seed=5), orders(18, 4, seed=6, shift=25.0)):
        produce(kafka.bootstrap, predictions, frame)
        produce_labels(kafka.bootstrap, labels, frame)
    orders(-30, 30, seed=1).to_parquet(tmp_path / "reference.parquet")
    produce(kafka.bootstrap, other, orders(0, 3, seed=7))
    with LocalSlack() as slack:
        config = minimal(
            tmp_path,
            kafka.bootstrap,
            predictions,
            labels,
            slack.url,
            other={
                "predictions": {"topic": other, "start": "earliest"},
                "reference": {"uri": "reference.parquet"},
                "columns": {"exclude": ["label"]},
                "channel": "#others",
            },
        )
        # When
        done = driftd("run", "--until-end", "--config", config)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        found = results(config)
        own = [row for row in found if row["model"] == "orders"]
        # Then windows are judged from the first on that the reference has no part in
        drift = {row["window_start"]: row["rows"] for row in own if row["metric"] == "rows"}
        assert min(drift) == rfc3339(START + 14 * DAY + 6 * HOUR)
        assert set(drift.values()) == {ROWS_A_DAY}
        # by a reference of fourteen windows, so aloud
        assert {row["verdict"] for row in own if row["signal"] == "feature_drift"} == {"ok", "drift"}
        # the ordinary days are quiet, the others are one incident in one thread
        told = [row for row in own if row["incident"] is not None]
        assert {row["window_end"] > rfc3339(START + 18 * DAY) for row in told} == {True}
        assert len({row["incident"] for row in told}) == 1
        (thread,) = slack.threads()
        assert thread.channel == "#ml-delays"
        # quality is held against the labels of the same days
        mae = [row for row in own if row["metric"] == "mae"]
        assert min(row["window_start"] for row in mae) == min(drift)
        assert {row["noise_floor"] is not None for row in mae} == {True}
        # and the other model was judged from its first window on
        assert min(row["window_start"] for row in found if row["model"] == "other") < rfc3339(START)
    assert driftd("status", "--config", config, "--verify").returncode == 0
    explained = driftd("explain", "orders", "--config", config)
    where = f"live traffic {rfc3339(START)} to {rfc3339(START + 14 * DAY)}"
    assert f"{14 * ROWS_A_DAY:,} rows from {where}; calibrated, 14 windows of its own" in explained.stdout
    assert "every value is a number" in explained.stdout


def test_until_then_status_says_how_far_it_is(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    # Given nine days, two of which have fewer rows than a window needs
    predictions, labels = topic(2), topic(2)
    days = [orders(day, 1, seed=day) for day in range(9)]
    for thin in (2, 5):
        days[thin] = days[thin].iloc[::4]
    produce(kafka.bootstrap, predictions, pd.concat(days))
    with LocalSlack() as slack:
        config = minimal(tmp_path, kafka.bootstrap, predictions, labels, slack.url)
        # When
        done = driftd("run", "--until-end", "--config", config)
        # Then
        assert done.returncode == 0, done.stderr
        sentence = "collecting its reference: 6 of 14 windows, 2 skipped for too few rows"
        assert f"orders was not judged: {sentence}" in done.stderr
        assert slack.threads() == []
    status = json.loads(driftd("status", "--config", config, "--format", "json").stdout)
    (model,) = status["models"]
    assert (model["state"], model["reason"]) == ("waiting", sentence)
    assert model["rows"] == 7 * ROWS_A_DAY + 2 * ROWS_A_DAY // 4
    assert sentence in driftd("explain", "orders", "--config", config).stdout
    assert results(config) == []
    # and the next run goes on from there
    produce(kafka.bootstrap, predictions, orders(9, 9, seed=20))
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    assert {row["window_start"] for row in results(config) if row["metric"] == "rows"} == {
        rfc3339(START + 16 * DAY + hours * HOUR) for hours in (6, 12, 18)
    }


def test_predictions_that_say_nothing_are_no_reference_and_the_others_in_the_topic_go_on(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    # Given a topic of two models, of which one predicts the same for three of its five days
    predictions, labels = topic(2), topic(2)
    days = orders(0, 5, seed=5)
    days.loc[days.index < 3 * ROWS_A_DAY, "prediction"] = 0.0
    produce(kafka.bootstrap, predictions, days)
    orders(-30, 30, seed=1).rename(columns={"amount": 'amount "net"'}).to_parquet(tmp_path / "quoted.parquet")
    collecting = {
        "predictions": {"topic": predictions, "start": "earliest"},
        "reference": {"window": "first 2 windows"},
        "window": {"every": "1d"},
        "channel": "#others",
    }
    with LocalSlack() as slack:
        config = minimal(
            tmp_path,
            kafka.bootstrap,
            predictions,
            labels,
            slack.url,
            unfit={**collecting, "columns": {"overrides": {"kind": {"method": "ks"}}}},
            quoted={
                **collecting,
                "reference": {"uri": "quoted.parquet"},
                "task": "regression",
                "labels": {"topic": labels, "start": "earliest"},
            },
            without={
                **collecting,
                "predictions": {
                    "topic": predictions,
                    "start": "earliest",
                    "fields": {"prediction": None, "features": ["features.amount", "features.kind"]},
                },
            },
        )
        document = yaml.safe_load(config.read_text())
        document["models"]["orders"] |= collecting
        config.write_text(yaml.safe_dump(document))
        # When
        done = driftd("run", "--until-end", "--config", config)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
    # Then it waits with the reason until days came that vary: those are its reference
    assert f"each of {2 * ROWS_A_DAY} predictions is 0" in done.stderr
    explained = driftd("explain", "orders", "--config", config).stdout
    assert f"live traffic {rfc3339(START + 2 * DAY)} to {rfc3339(START + 4 * DAY)}; calibrating" in explained
    # and the other one was judged meanwhile, by its first two days
    found = results(config)
    assert {row["window_start"] for row in found if row["model"] == "without" and row["metric"] == "rows"} == {
        rfc3339(START + day * DAY) for day in (3,)
    }
    told = [row for row in found if row["incident"] is not None]
    assert told == []
    # and a method that does not fit what came is named, where other rows would not help
    sentence = "columns.overrides.kind.method: ks is for numeric columns, and 'kind' is categorical"
    assert f"unfit was not judged: the reference cannot be used: {sentence}" in done.stderr
    # nor does a column that no message can be read for hold the run up
    assert "quoted was not judged: 'features.amount \"net\"' cannot be read from messages" in done.stderr
