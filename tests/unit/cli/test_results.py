"""What `driftd results` and `driftd report` say of recorded windows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.cli import app
from daemon.cli.errors import Exit
from daemon.cli.results import LINE
from daemon.store import Store, evaluations
from daemon.store.evaluations import Evaluation, Judged
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import DAY, parse_rfc3339
from tests.integration.fields import FIELDS

CONFIG = """
installation: test
kafka: {bootstrap_servers: "localhost:9"}
models:
  orders:
    predictions: {topic: orders}
    reference: {uri: reference.parquet}
"""
END = parse_rfc3339("2013-02-09T00:00:00Z")


def finding(column: str | None, version: str | None, segment: dict[str, str] | None = None) -> Finding:
    return Finding(
        Signal.FEATURE_DRIFT,
        "robust_wasserstein",
        Verdict.DRIFT,
        column,
        version,
        segment,
        930,
        value=1.23456,
        threshold=0.1,
        noise_floor=0.0123456,
        p_value=1.23e-9,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two windows of a model: one of two versions with a segment, and one of the day after."""
    path = tmp_path / "driftd.yaml"
    path.write_text(CONFIG)
    wide = "the_distance_in_kilometres_to_the_nearest_warehouse"
    first = [
        Judged(finding(wide, "8", {"country": "a country with a very long name"}), "notify", "inc-n9c8my"),
        Judged(finding("amount", None)),
        Judged(finding("amount", "8")),
        Judged(finding(wide, "7")),
    ]
    with Store.open(tmp_path / "driftd.db", writer=True) as store, store.write() as conn:
        for end, revision, judged in ((END, 3, first), (END + DAY, 0, [Judged(finding("amount", "8"))])):
            row = Evaluation("orders", "drift", end - DAY, end, revision, 4, 930, None, 0, 30, 31, "r", "c", "0.1.0")
            evaluations.record(conn, row, judged)
    return path


def run(*arguments: str | Path) -> int:
    return app.invoke([str(argument) for argument in arguments])


def test_the_text_names_window_version_revision_and_rows_in_lines_of_a_terminal(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("results", "--config", config) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("orders, ")] == [
        "orders, 2013-02-08 00:00 to 2013-02-09 00:00, version 7, revision 3",
        "orders, 2013-02-08 00:00 to 2013-02-09 00:00, version 8, revision 3",
        "orders, 2013-02-08 00:00 to 2013-02-09 00:00, version 8, revision 3, by segment",
        "orders, 2013-02-08 00:00 to 2013-02-09 00:00, all versions, revision 3",
        "orders, 2013-02-09 00:00 to 2013-02-10 00:00, version 8, revision 0",
    ]
    assert max(map(len, lines)) <= LINE
    (by_segment,) = (line for line in lines if "inc-n9c8my" in line)
    assert "country=a cou" in by_segment
    assert by_segment.split()[-7:] == ["930", "1.235", "0.1", "0.01235", "1.2e-09", "drift", "inc-n9c8my"]


def test_as_json_nothing_is_cut_and_the_keys_are_those_that_are_promised(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("results", "--config", config, "--format", "json", "--since", "2013-02-09") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {tuple(row) for row in found} == {tuple(FIELDS)}
    assert found[0] == {
        "model": "orders",
        "version": "8",
        "segment": {"country": "a country with a very long name"},
        "window_start": "2013-02-08T00:00:00Z",
        "window_end": "2013-02-09T00:00:00Z",
        "revision": 3,
        "rows": 930,
        "signal": "feature_drift",
        "column": "the_distance_in_kilometres_to_the_nearest_warehouse",
        "metric": "robust_wasserstein",
        "value": 1.23456,
        "threshold": 0.1,
        "noise_floor": 0.0123456,
        "p_value": 1.23e-9,
        "verdict": "drift",
        "severity": "notify",
        "incident": "inc-n9c8my",
        "reference": "r",
        "estimated": False,
        "config_hash": "c",
        "driftd_version": "0.1.0",
    }


@pytest.mark.parametrize(
    ("window", "nearest"),
    [
        ("2013-02-09T05:00:00Z", "2013-02-09T00:00:00Z and 2013-02-10T00:00:00Z"),
        ("2013-02-08", "2013-02-09T00:00:00Z"),
        ("2020-01-01", "2013-02-10T00:00:00Z"),
    ],
)
def test_a_report_of_no_window_names_the_nearest(
    config: Path, window: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", "orders", "--window", window, "--config", config) == Exit.USAGE
    said = f"--window {window}: no window of orders that was judged ends then; the nearest: {nearest}\n"
    assert capsys.readouterr().err.endswith(said)


def test_a_report_before_the_first_window_cannot_be_made_yet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "driftd.yaml").write_text(CONFIG)
    Store.open(tmp_path / "driftd.db", writer=True).close()
    assert run("report", "orders", "--window", "2020-01-01", "--config", tmp_path / "driftd.yaml") == Exit.UNDECIDED
    assert "no window of orders has been judged yet" in capsys.readouterr().err
