from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.errors import ConfigurationError, UnknownModel
from daemon.config.origins import origins

TEXT = """\
installation: a
kafka: {bootstrap_servers: [k:1, k:2]}
slack:
  bot_token_file: token
receivers:
  hook: {type: webhook, url: https://hooks.example.com/secret}
defaults:
  window: {size: 2d}
  columns: {exclude: [a, b]}
models:
  m:
    predictions:
      topic: t
      where: {model: m}
    runbook: "https://user:hunter2@wiki/m"
    channel: "#${TEAM}"
    window: {every: 1d}
    alerts: {for: 3}
  bad: {predictions: {topic: u}, channel: c, reference: {uri: r.csv}, window: {size: 1x}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("xoxb-1")
    (tmp_path / "driftd.yaml").write_text(TEXT)
    return tmp_path / "driftd.yaml"


def test_each_value_of_a_model_and_where_it_comes_from(file: Path) -> None:
    found = {
        path: (value, origin.removeprefix(f"{file}:"))
        for path, value, origin in origins(file, "m", environ={"TEAM": "ml"})
    }
    for path, expected in {
        "task": ("none", "built-in"),
        "predictions.topic": ('["t"]', "13"),
        "predictions.where.model": ("m", "14"),
        "predictions.fields.id": ("id", "built-in"),
        "labels": ("null", "built-in"),
        "runbook": ("https://**********@wiki/m", "15"),
        "channel": ("#ml", "16"),
        "window.size": ("2d", "8"),
        "window.every": ("1d", "17"),
        "window.min_rows": ("200", "built-in"),
        "alerts.for": ("3 windows", "18"),
        "columns.exclude": ('["a", "b"]', "9"),
    }.items():
        assert found[path] == expected, path


def test_each_value_of_the_installation(tmp_path: Path) -> None:
    file = tmp_path / "driftd.yaml"
    file.write_text(TEXT.replace('"#${TEAM}"', "c"))
    (tmp_path / "token").write_text("xoxb-1")
    found = {path: (value, origin.removeprefix(f"{file}:")) for path, value, origin in origins(file, None, environ={})}
    assert found["slack.bot_token"] == ("**********", "4")
    assert found["receivers.hook.url"] == ("**********", "6")
    assert found["kafka.bootstrap_servers"] == ('["k:1", "k:2"]', "2")
    assert found["store.path"] == (str(tmp_path / "driftd.db"), "built-in")
    assert not [path for path in found if path.startswith("models")]


def test_a_model_that_is_not_there(file: Path) -> None:
    with pytest.raises(UnknownModel, match=r"there is no model 'n' \(the models are bad, m\)"):
        origins(file, "n", environ={"TEAM": "ml"})


def test_a_model_with_mistakes(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown unit 'x'"):
        origins(file, "bad", environ={"TEAM": "ml"})
