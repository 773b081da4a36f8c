"""Quality that is estimated before labels come, from Kafka to Slack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deploy.slack.local import LocalSlack
from detectors.instants import DAY, HOUR, Micros, parse_rfc3339, rfc3339
from tests.conftest import Broker, MakeTopic
from tests.integration.shop import START, configure, driftd, orders, produce, produce_labels, results

BAD_FROM = 6
"""From this day on orders are large, and of large ones the model knows little."""
LATE = pd.Timedelta(days=3)
ESTIMATED = "estimated_quality"


def uneven(first_day: int, days: int, *, seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Orders whose error grows with their amount."""
    frame = orders(first_day, days, seed=seed, shift=shift)
    noise = np.random.default_rng(seed).normal(size=len(frame))
    return frame.assign(label=frame["prediction"] + noise * np.exp((frame["amount"] - 50) / 20))


def send(kafka: Broker, predictions: str, labels: str | None, *, after: pd.Timedelta = LATE) -> None:
    for frame in (uneven(0, BAD_FROM, seed=2), uneven(BAD_FROM, 4, seed=3, shift=12.0)):
        produce(kafka.bootstrap, predictions, frame)
        if labels is not None:
            produce_labels(kafka.bootstrap, labels, frame, after)


def configured(folder: Path, kafka: Broker, predictions: str, labels: str | None, **more: Any) -> Path:
    model: dict[str, Any] = {"window": {"size": "1d", "every": "1d", "min_rows": 50}}
    if labels is not None:
        maturity = {"coverage": "90%", "at_most": "4d"}
        model["labels"] = {"topic": labels, "start": "earliest", "maturity": maturity}
    path = configure(folder, kafka.bootstrap, predictions, labels, model=model | more.pop("model", {}), **more)
    uneven(-30, 30, seed=1).to_parquet(folder / "reference.parquet")
    return path


def test_the_estimate_speaks_days_before_the_labels_and_the_labels_agree(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    # Given labels that come three days after their predictions, and four days of orders that the model is bad at
    predictions, labels = topic(2), topic(2)
    send(kafka, predictions, labels)
    with LocalSlack() as slack:
        config = configured(tmp_path, kafka, predictions, labels, slack=slack.url)
        # When
        done = driftd("run", "--until-end", "--config", config)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        found = results(config)
        (thread,) = slack.threads()
    by_window = {
        signal: {r["window_end"]: r for r in found if (r["signal"], r["metric"], r["segment"]) == (signal, "mae", None)}
        for signal in (ESTIMATED, "quality")
    }
    # Then each window has both values, they are near each other, and only the one is called an estimate
    assert set(by_window[ESTIMATED]) == {rfc3339(START + day * DAY) for day in range(1, 10)}
    for window, estimate in by_window[ESTIMATED].items():
        measured = by_window["quality"][window]
        assert (estimate["estimated"], measured["estimated"]) == (True, False)
        assert estimate["value"] == pytest.approx(measured["value"], rel=0.3)
    # the bad days are degraded by both, the ordinary ones by none
    for window, estimate in by_window[ESTIMATED].items():
        bad = window > rfc3339(START + BAD_FROM * DAY)
        assert (estimate["verdict"], by_window["quality"][window]["verdict"]) == (
            ("degraded",) * 2 if bad else ("ok",) * 2
        )
    # the incident opened when the second bad day was over, before any of its labels was there
    explained = driftd("explain", "orders", "--config", config)
    assert "Its quality is estimated before labels come" in explained.stdout
    (incident,) = {r["incident"] for r in by_window[ESTIMATED].values() if r["incident"]}
    assert {r["incident"] for r in by_window["quality"].values() if r["incident"]} == {incident}
    story = driftd("explain", incident, "--config", config)
    opened = story.stdout.index("estimated MAE got worse")
    assert opened < story.stdout.index("MAE got worse too")
    assert thread.channel == "#orders"


def test_a_reference_with_labels_is_enough(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    # Given a model whose labels nobody sends, and a limit for what they would say
    predictions = topic(2)
    send(kafka, predictions, None)
    config = configured(
        tmp_path,
        kafka,
        predictions,
        None,
        model={
            "reference": {"uri": "reference.parquet", "fields": {"label": "label"}},
            "alerts": {"quality": {"mae": {"worse_than_reference": "15%"}}},
        },
    )
    # When
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    # Then
    told = [r for r in results(config) if r["signal"] == ESTIMATED and r["incident"] is not None]
    assert {r["window_end"] for r in told} >= {rfc3339(START + day * DAY) for day in (8, 9)}
    assert {r["metric"] for r in told} == {"mae"}
    assert not [r for r in results(config) if r["signal"] == "quality"]


def test_a_reference_without_labels_says_once_why_nothing_is_estimated(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    predictions = topic(2)
    produce(kafka.bootstrap, predictions, uneven(0, 3, seed=2))
    config = configured(tmp_path, kafka, predictions, None)
    uneven(-30, 30, seed=1).drop(columns="label").to_parquet(tmp_path / "reference.parquet")
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    assert not [r for r in results(config) if r["signal"] == ESTIMATED]
    explained = driftd("explain", "orders", "--config", config)
    assert "is not estimated before labels come: the reference has no labels to learn from" in explained.stdout


def test_a_reference_from_live_traffic_teaches_once_its_labels_are_there(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    # Given twenty days of traffic, fourteen of which become the reference, and labels an hour later
    predictions, labels = topic(2), topic(2)
    frame = uneven(0, 20, seed=5)
    produce(kafka.bootstrap, predictions, frame)
    produce_labels(kafka.bootstrap, labels, frame)
    config = configure(
        tmp_path,
        kafka.bootstrap,
        predictions,
        labels,
        model={"reference": {"window": "first 14 windows"}, "window": {"size": "1d", "every": "1d", "min_rows": 50}},
    )
    # When
    done = driftd("run", "--until-end", "--config", config)
    assert done.returncode == 0, done.stderr
    # Then every window that ends after the labels were waited for has an estimate, and no other
    found = results(config)
    judged = {r["window_end"] for r in found if r["signal"] == "feature_drift"}
    reference_end: Micros = START + 14 * DAY
    waited: Micros = reference_end + DAY + HOUR
    assert {r["window_end"] for r in found if r["signal"] == ESTIMATED} == {
        window for window in judged if parse_rfc3339(window) > waited
    }
    assert len(judged) >= 4
