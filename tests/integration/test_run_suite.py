"""A model's own Evidently suite from its YAML to a Slack thread: `driftd run --until-end` over a shop's orders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from deploy.slack.local import LocalSlack
from detectors.instants import DAY, rfc3339
from tests.conftest import Broker, MakeTopic
from tests.integration.fields import FIELDS
from tests.integration.shop import ROWS_A_DAY, START, configure, driftd, orders, produce, produce_labels, results

SUITE = [
    {"preset": "DataDriftPreset"},
    {"metric": "MissingValueCount", "column": "amount", "share_tests": {"lte": 0.05}},
    {"metric": "MeanValue", "column": "amunt"},
    {"metric": "MAE", "mean_tests": {"lte": 50}},
]


def test_a_limit_of_the_suite_opens_an_incident(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    # Given three ordinary days, and three in which a tenth of the amounts is missing
    predictions, labels = topic(2), topic(2)
    calm, broken = orders(0, 3, seed=5), orders(3, 3, seed=6)
    broken["amount"] = broken["amount"].astype(object).where(np.arange(len(broken)) % 10 > 0, None)
    for frame in (calm, broken):
        produce(kafka.bootstrap, predictions, frame)
        produce_labels(kafka.bootstrap, labels, frame)
    with LocalSlack() as slack:
        # and a suite of which one entry names a column that is not there
        config = configure(tmp_path, kafka.bootstrap, predictions, labels, slack=slack.url, model={"evidently": SUITE})
        assert driftd("check", "--config", config).returncode == 0
        # When
        done = driftd("run", "--until-end", "--config", config, timeout=400)
        # Then
        assert done.returncode == 0, done.stderr
        found = [row for row in results(config) if row["metric"].startswith("evidently.")]
        assert all(list(row) == FIELDS for row in found)
        whole = [row for row in found if rfc3339(START) <= row["window_start"]]
        # every window has Evidently's values of its rows,
        shares = {row["window_end"]: row for row in whole if row["metric"] == "evidently.MissingValueCount.share"}
        ordinary, last = shares[rfc3339(START + DAY)], shares[max(shares)]
        assert (ordinary["value"], ordinary["verdict"], ordinary["rows"]) == (0.0, "ok", ROWS_A_DAY)
        assert (last["value"], last["threshold"], last["verdict"]) == (0.1, 0.05, "violated")
        assert {row["column"] for row in whole if row["metric"] == "evidently.DataDriftPreset.ValueDrift"} == {
            "amount",
            "kind",
            "prediction",
        }
        # those of quality too,
        errors = [row for row in whole if row["metric"] == "evidently.MAE"]
        assert {row["verdict"] for row in errors} == {"ok"}
        assert {row["signal"] for row in errors} == {"quality"}
        # the entry that is wrong is wrong in every window, and alone,
        assert {row["metric"] for row in whole if row["verdict"] == "error"} == {"evidently.MeanValue"}
        # and a person is told of the limit, in the numbers of it
        (thread,) = [one for one in slack.threads() if "Evidently's MissingValueCount.share" in str(one)]
        assert "amount is 0.1 (limit 0.05, reference 0)" in str(thread)
    assert last["incident"] is not None
    assert "evidently.MissingValueCount.share" in driftd("results", "--config", config).stdout
    explained = driftd("explain", last["incident"], "--config", config, "--format", "json")
    (line,) = [
        line for line in json.loads(explained.stdout)["lines"] if line["metric"] == "evidently.MissingValueCount.share"
    ]
    assert line["detail"] == f"must be at most 0.05; {ROWS_A_DAY} rows"
    assert "there is no column 'amunt'" in driftd("explain", "orders", "--config", config).stdout
