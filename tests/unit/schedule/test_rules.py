"""A model's settings as the rules of its evaluations."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from daemon.schedule.rules import alarm_share, rules_of
from detectors.instants import DAY, HOUR
from detectors.rules import ColumnRule, QualityLimit
from tests.support.configuration import load

MODEL = {"task": "regression", "predictions": {"topic": "a"}, "labels": {"topic": "b"}, "reference": {"uri": "r.csv"}}


def test_limits_windows_and_the_share_of_false_alarms(tmp_path: Path) -> None:
    columns = {
        "amount": {"method": "psi", "threshold": 0.25, "direction": "up", "range": [0, None], "missing": {"max": "5%"}}
    }
    path = tmp_path / "driftd.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "installation": "test",
                "kafka": {"bootstrap_servers": "kafka:9092"},
                "false_alarms": {"at_most": "1 per day"},
                "models": {
                    "one": MODEL
                    | {
                        "window": {"size": "1d", "every": "6h", "min_rows": 50},
                        "columns": {"overrides": columns},
                        "alerts": {"for": "3 windows", "quality": {"mae": {"max": 15, "worse_than_reference": "20%"}}},
                    },
                    "other": MODEL | {"predictions": {"topic": "c"}, "labels": {"topic": "d"}},
                },
            }
        )
    )
    settings = load(path, environ={})
    rules = rules_of(settings, "one")
    assert (rules.task, rules.size, rules.every, rules.min_rows, rules.for_windows) == (
        "regression",
        DAY,
        6 * HOUR,
        50,
        3,
    )
    assert rules.columns["amount"] == ColumnRule("psi", 0.25, "up", 0, None, pytest.approx(0.05))
    assert rules.quality["mae"] == QualityLimit(15, None, pytest.approx(0.2))
    assert alarm_share(settings) == pytest.approx(3.5)
