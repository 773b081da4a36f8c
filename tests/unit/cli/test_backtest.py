"""`driftd backtest`: what it refuses, and how it prints what it found."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from daemon.cli import app, backtest
from daemon.cli.errors import Exit
from daemon.cli.replay import Measure, Replayed
from daemon.incidents.incident import Family, Incident, Severity, State
from detectors.instants import DAY, parse_rfc3339

START = parse_rfc3339("2013-03-01T00:00:00Z")
CONFIG = """
installation: test
kafka: {bootstrap_servers: "localhost:9"}
models:
  orders: {predictions: {topic: orders}, reference: {uri: reference.parquet}}
  returns: {predictions: {topic: returns}, reference: {uri: reference.parquet}}
"""
INCIDENT = Incident(
    id="inc-1",
    model="orders",
    family=Family.MODEL,
    state=State.FIRING,
    severity=Severity.NOTIFY,
    since=START,
    opened_at=START + 2 * DAY,
    updated_at=START + 2 * DAY,
    window_start=START + DAY,
    window_end=START + 2 * DAY,
    lines=(),
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "driftd.yaml"
    path.write_text(CONFIG)
    return path


def run(*arguments: str | Path) -> int:
    return app.invoke([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["ordres"], Exit.USAGE, "the configuration has no model 'ordres'; did you mean orders?"),
        (["--since", "1d", "--offset", "3"], Exit.USAGE, "--since and --offset both say where to begin"),
        (["--since", "noon"], Exit.USAGE, "--since noon: not an instant"),
        (["--from", "x", "--offset", "3"], Exit.USAGE, "--offset is one of Kafka's; with --from say --since"),
        (["--label-time", "at"], Exit.USAGE, "--label-time names a column of files"),
        (["--from", "x"], Exit.USAGE, "--from has the rows of one model: name it (orders, returns)"),
        (["orders", "--from", "nowhere"], Exit.USAGE, "--from nowhere does not exist"),
        (["--keep", "."], Exit.USAGE, "--keep .: is there already"),
        (
            ["--set", "models.orders.window.sise=7d"],
            Exit.USAGE,
            "the configuration is wrong:\nmodels.orders.window.sise=7d: models.orders.window.sise: unknown key 'sise'",
        ),
        (["--set", "kafka.bootstrap_servers=kafka"], Exit.USAGE, "kafka.bootstrap_servers[0]: must be HOST:PORT"),
        ([], Exit.UNREACHABLE, "Kafka at localhost:9 does not answer"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    config: Path, arguments: list[str], code: Exit, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("backtest", "--config", config, *arguments) == code
    assert complaint in capsys.readouterr().err


def test_a_mistake_of_the_present_configuration_is_no_mistake_of_the_change(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("topic: returns", "topik: returns"))
    assert run("backtest", "orders", "--config", config, "--set", "models.orders.window.size=7d") == Exit.CONFIGURATION
    assert "a backtest needs every model" in capsys.readouterr().err


def replayed(*incidents: Incident, flagged: int) -> Replayed:
    return Replayed(
        incidents=list(incidents),
        windows={"orders": Counter(drift=7, quality=3)},
        flagged=Counter({Measure("orders", "feature_drift", "amount", "psi"): flagged}),
        waiting={"returns": "it has no reference"},
        start=START,
        end=START + 4 * DAY,
    )


def test_both_sides_stand_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    later = replace(INCIDENT, opened_at=START + 3 * DAY)
    other = replace(INCIDENT, since=START + 3 * DAY, window_end=START + 4 * DAY, held="rows are missing")
    sides = {
        backtest.PRESENT: replayed(INCIDENT, flagged=4),
        backtest.CHANGED: replayed(later, other, flagged=1),
    }
    backtest._print(sides, ["models.orders.alerts.for=3 windows"])
    assert capsys.readouterr().out.splitlines() == [
        "changed: models.orders.alerts.for=3 windows",
        "present: orders, 7 drift and 3 quality windows judged from 2013-03-01 00:00 to 2013-03-05 00:00",
        "present: returns was not judged: it has no reference",
        "changed: orders, 7 drift and 3 quality windows judged from 2013-03-01 00:00 to 2013-03-05 00:00",
        "changed: returns was not judged: it has no reference",
        "",
        "Incidents: 1 kept, 1 gained, 0 lost.",
        "outcome  model   family  since             told present      told changed      windows  what",
        "kept     orders  model   2013-03-01 00:00  2013-03-03 00:00  2013-03-04 00:00        0",
        "gained   orders  model   2013-03-04 00:00  –                 held                    0",
        "",
        "model   signal         column  metric  present windows  changed windows",
        "orders  feature_drift  amount  psi                   4                1",
    ]


def test_as_json_each_incident_has_both_sides() -> None:
    sides = {backtest.PRESENT: replayed(INCIDENT, flagged=4), backtest.CHANGED: replayed(flagged=1)}
    found = backtest._json(sides)
    assert found["incidents"] == [
        {
            "outcome": "lost",
            "present": {
                "incident": "inc-1",
                "model": "orders",
                "family": "model",
                "since": "2013-03-01T00:00:00Z",
                "told_at": "2013-03-03T00:00:00Z",
                "resolved_at": None,
                "windows_flagged": 0,
                "held": None,
                "what": "",
            },
            "changed": None,
        }
    ]
    assert found["flagged"] == [
        {
            "model": "orders",
            "signal": "feature_drift",
            "column": "amount",
            "metric": "psi",
            "present": 4,
            "changed": 1,
        }
    ]


def test_without_a_change_there_is_one_side(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = dataclasses.replace(replayed(flagged=0), flagged=Counter(), waiting={})
    backtest._print({backtest.PRESENT: quiet}, [])
    assert capsys.readouterr().out.splitlines() == [
        "orders, 7 drift and 3 quality windows judged from 2013-03-01 00:00 to 2013-03-05 00:00",
        "",
        "No incident.",
    ]
