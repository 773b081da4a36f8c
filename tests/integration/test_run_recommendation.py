"""A recommender from Kafka to Slack: lists that are shown, and items that are taken from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deploy.slack.local import LocalSlack
from detectors.instants import DAY, HOUR, rfc3339
from detectors.quality import Logged, metrics_of
from detectors.quality.requests import Catalogue, request_rows
from tests.conftest import Broker, MakeTopic
from tests.integration.shop import START, configure, driftd, results
from tests.integration.test_run_multiclass import send

A_DAY = 240
ITEMS = 80


def shelf(first_day: int, days: int, *, seed: int, skill: float = 1.0) -> pd.DataFrame:
    """Requests of some days after START; with less skill people take fewer of the items that they are shown."""
    random = np.random.default_rng(seed)
    n = days * A_DAY
    share = 1 / np.arange(1, ITEMS + 1) ** 0.5
    shown = [random.choice(ITEMS, 10, replace=False, p=share / share.sum()) for _ in range(n)]
    wanted = [random.random(10) < skill * 0.2 / np.arange(1, 11) ** 0.5 for _ in range(n)]
    return pd.DataFrame(
        {
            "id": [f"{first_day}-{i}" for i in range(n)],
            "ts": pd.to_datetime(START + first_day * DAY + np.arange(n) * (DAY // A_DAY), unit="us", utc=True),
            "hour": random.integers(0, 24, n),
            "items": [[f"i{item}" for item in items] for items in shown],
            "taken": [[f"i{item}" for item in items[hits]] for items, hits in zip(shown, wanted, strict=True)],
        }
    )


def clicks(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an item taken."""
    return frame[["id", "ts", "taken"]].explode("taken").dropna()


def settings(predictions: str, **more: Any) -> dict[str, Any]:
    return {
        "task": "recommendation",
        "predictions": {"topic": predictions, "start": "earliest", "fields": {"prediction": "items"}},
        "reference": {"uri": "shelf.parquet", "fields": {"label": "taken"}},
        **more,
    }


def shown(row: Any) -> dict[str, Any]:
    return {"model_version": "7", "features": {"hour": row["hour"]}, "items": row["items"]}


def test_a_recommender_that_people_take_less_from_becomes_one_incident(
    kafka: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    # Given thirty days as the reference, six ordinary days, and four in which people take half as much
    shelf(-30, 30, seed=1).to_parquet(tmp_path / "shelf.parquet")
    predictions, labels = topic(2), topic(2)
    ordinary, worse = shelf(0, 6, seed=2), shelf(6, 4, seed=3, skill=0.4)
    for frame in (ordinary, worse):
        send(kafka.bootstrap, predictions, frame, pd.Timedelta(0), shown)
        send(kafka.bootstrap, labels, clicks(frame), pd.Timedelta(hours=1), lambda row: {"label": row["taken"]})
    with LocalSlack() as slack:
        config = configure(
            tmp_path,
            kafka.bootstrap,
            predictions,
            labels,
            slack=slack.url,
            model=settings(
                predictions,
                labels={"topic": labels, "start": "earliest", "maturity": {"at_most": "2h"}},
                alerts={"quality": {"ndcg": {"worse_than_reference": "15%"}}},
            ),
        )
        # When
        done = driftd("run", "--until-end", "--config", config)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        found = results(config)
        # Then a window is closed by the age of its labels, few as they are, and judged by all of its requests
        day = ordinary.head(A_DAY)
        texts = [day[name].map(json.dumps).to_numpy(dtype=object) for name in ("taken", "items")]
        rows = request_rows(Logged(*texts), 10, Catalogue()).rows
        for metric in ("ndcg", "precision", "recall", "map", "mrr", "hit_rate", "gini"):
            (one,) = [r for r in found if r["metric"] == metric and r["window_end"] == rfc3339(START + DAY)]
            assert abs(one["value"] - metrics_of("recommendation")[metric].measure(rows).value) < 1e-9
            assert one["rows"] == A_DAY
            assert one["noise_floor"] is not None
        (one,) = [r for r in found if r["metric"] == "coverage" and r["window_end"] == rfc3339(START + DAY)]
        assert one["value"] == 1.0
        assert "labels_missing" not in {r["signal"] for r in found}
        # the drawn items and the lengths of the lists are watched as predictions
        assert {r["column"] for r in found if r["signal"] == "prediction_drift"} == {"prediction", "prediction.length"}
        # the ordinary days are quiet, the others are one incident
        told = [r for r in found if r["incident"] is not None]
        assert {r["window_end"] > rfc3339(START + 6 * DAY) for r in told} == {True}
        assert {r["signal"] for r in told if r["verdict"] == "degraded"} == {"quality"}
        assert "ndcg" in {r["metric"] for r in told}
        assert len({r["incident"] for r in told}) == 1
        # and one thread tells of it
        (thread,) = slack.threads()
        assert thread.channel == "#orders"
    status = driftd("status", "--config", config, "--verify")
    assert status.returncode == 0, status.stdout
    assert "The books balance." in status.stdout


def test_odd_lists_are_told_at_once_and_the_rest_goes_on(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    # Given two days in which a tenth of the lists holds an item twice and all are longer than k, one of them very long
    shelf(-30, 30, seed=1).to_parquet(tmp_path / "shelf.parquet")
    predictions, labels = topic(2), topic(2)
    frame = shelf(0, 2, seed=2)
    frame["items"] = [
        [items[0], *items] if number % 10 == 0 else [*items, "i200"] for number, items in enumerate(frame["items"])
    ]
    frame.at[7, "items"] = [f"i{number}" for number in range(2_000)]
    send(kafka.bootstrap, predictions, frame, pd.Timedelta(0), shown)
    send(kafka.bootstrap, labels, clicks(frame), pd.Timedelta(HOUR, "us"), lambda row: {"label": row["taken"]})
    config = configure(
        tmp_path,
        kafka.bootstrap,
        predictions,
        labels,
        model=settings(predictions, labels={"topic": labels, "start": "earliest", "maturity": {"at_most": "2h"}}, k=10),
    )
    # When
    assert driftd("run", "--until-end", "--config", config).returncode == 0
    # Then
    found = {r["metric"]: r for r in results(config) if r["window_end"] == rfc3339(START + DAY) if not r["segment"]}
    assert found["duplicate_items"]["verdict"] == found["long_lists"]["verdict"] == "violated"
    assert found["duplicate_items"]["incident"] is not None
    assert found["ndcg"]["verdict"] == "ok"
    assert found["ndcg"]["rows"] == A_DAY
    status = driftd("status", "--config", config, "--verify", "--format", "json")
    assert status.returncode == 0, status.stdout
