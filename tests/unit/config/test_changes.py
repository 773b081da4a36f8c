"""Changes that are given beside a configuration's files: what they reach, and in which words they are refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from daemon.config.load import examine
from daemon.config.settings import Settings
from tests.support.configuration import load

BODY = """
installation: test
kafka: {bootstrap_servers: "localhost:9092", security_protocol: SASL_SSL,
        sasl: {mechanism: PLAIN, username: driftd, password: "${KAFKA_PASSWORD}"}}
slack: {bot_token: "${SLACK_BOT_TOKEN}"}
defaults: {window: {min_rows: 7}}
models:
  orders: {predictions: {topic: orders}, channel: "#orders"}
  orders.eu: {predictions: {topic: eu}, channel: "#orders"}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "driftd.yaml"
    path.write_text(BODY)
    return path


def changed(path: Path, *changes: str) -> Settings:
    examined = examine(path, environ={}, secrets=False, changes=changes)
    assert not [problem for problem in examined.problems if problem.severity == "error"]
    assert examined.settings is not None
    return examined.settings.model_copy(update={"models": examined.models})


def mistakes(path: Path, *changes: str) -> list[str]:
    return [str(problem) for problem in examine(path, environ={}, secrets=False, changes=changes).problems]


def test_a_change_reaches_one_value_and_leaves_the_others(path: Path) -> None:
    before = load(path, environ={}, secrets=False)
    after = changed(path, "models.orders.window.size=7d", "models.orders.columns.important=[amount, kind]")
    assert after.models["orders"].window.size == timedelta(days=7)
    assert after.models["orders"].window.min_rows == 7
    assert after.models["orders"].columns.important == ("amount", "kind")
    assert after.models["orders.eu"] == before.models["orders.eu"]


def test_a_name_with_dots_is_one_step(path: Path) -> None:
    after = changed(path, "models.orders.eu.window.every=1d")
    assert after.models["orders.eu"].window.every == timedelta(days=1)
    assert after.models["orders"].window.every == timedelta(hours=6)


def test_what_all_models_share_and_defaults_can_be_changed(path: Path) -> None:
    after = changed(path, "false_alarms.at_most=1 per month", "defaults.window.min_rows=9")
    assert str(after.false_alarms.at_most) == "1 per month"
    assert {model.window.min_rows for model in after.models.values()} == {9}


def test_of_two_changes_of_one_value_the_later_counts(path: Path) -> None:
    after = changed(path, "models.orders.window.size=2d", "models.orders.window.size=3d")
    assert after.models["orders"].window.size == timedelta(days=3)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            "models.orders.window.sise=7d",
            "models.orders.window.sise=7d: models.orders.window.sise: unknown key 'sise' (did you mean size?)",
        ),
        (
            "models.orders.window.size=soon",
            "models.orders.window.size=soon: models.orders.window.size: 'soon' is not a duration",
        ),
        ("models.ordres.window.size=7d", "there is no model 'ordres' (did you mean orders?)"),
        ("models.orders.window.size=5h", "models.orders.window.size=5h: models.orders.window.every: must be at most"),
        ("models.orders.window.size", "models.orders.window.size: is no change (write PATH=VALUE, such as"),
        ("=7d", "=7d: is no change"),
        ("models..size=7d", "models..size=7d: is no change"),
        ("models={}", "models={}: models: models cannot be changed as a whole"),
        ("models.orders.columns.important=[a", "models.orders.columns.important=[a: models.orders.columns.important: "),
    ],
)
def test_a_mistake_in_a_change_has_the_change_for_its_place(path: Path, change: str, complaint: str) -> None:
    (found,) = mistakes(path, change)
    assert complaint in found
    assert found.startswith(change)


def test_only_the_secrets_of_some_sections_are_read(path: Path) -> None:
    # Given that only Kafka's password is at hand
    examined = examine(path, environ={"KAFKA_PASSWORD": "hush"}, secrets=frozenset({"kafka"}))
    assert examined.problems == ()
    assert examined.settings is not None
    assert examined.settings.kafka.sasl is not None
    assert examined.settings.kafka.sasl.password.get_secret_value() == "hush"
    # Without it the mistake is told
    (problem,) = examine(path, environ={}, secrets=frozenset({"kafka"})).problems
    assert problem.path == "kafka.sasl.password"
    assert "KAFKA_PASSWORD is not set" in problem.message
