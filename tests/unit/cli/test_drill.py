"""`driftd drill` over what a daemon has left in its store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import app
from daemon.cli.errors import Exit
from daemon.schedule.workers import WorkerPool
from detectors.instants import DAY, rfc3339
from tests.unit.schedule.world import MODEL, ROWS_A_DAY, START, World, orders, world

NO_LABELS = {"labels": None, "task": "none"}


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1) as pool:
        yield pool


@pytest.fixture(scope="module")
def judged(pool: WorkerPool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Four ordinary days, judged; of the columns only the amount is important."""
    folder = tmp_path_factory.mktemp("judged")
    with world(folder, pool, {**NO_LABELS, "columns": {"important": ["amount"]}}) as made:
        made.predict(orders(0, 4, seed=5))
        made.evaluator.turn(flush=True)
        yield made


def run(folder: Path, *arguments: str) -> int:
    return app.invoke(["drill", MODEL, "--config", str(folder / "driftd.yaml"), *arguments])


def drilled(made: World, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = run(made.folder, "--format", "json", *arguments)
    printed = capsys.readouterr()
    assert printed.err == ""
    found: dict[str, Any] = json.loads(printed.out)
    return code, found


def test_a_shift_is_told_after_two_windows_and_the_smallest_is_told_too(
    judged: World, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = drilled(judged, capsys, "--column", "amount", "--shift", "1sd")
    assert (code, found["verdict"]) == (Exit.FINE, "told")
    # The last windows end three and a half days after the start, and two of a day each are drilled.
    begins = START + DAY + DAY // 2
    assert found["begins"] == rfc3339(begins)
    assert found["told_at"] in (rfc3339(begins + DAY + DAY // 2), rfc3339(begins + 2 * DAY))
    (line,) = [line for line in found["lines"] if line["signal"] == "feature_drift" and line["segment"] is None]
    assert (line["column"], line["told"]) == ("amount", True)
    assert found["rows"] == found["sampled_rows"] == 2.5 * ROWS_A_DAY
    # What is said of the smallest holds when it is tried, and so does what is said of a smaller one
    smallest = found["smallest_told"]
    assert 0 < smallest < 1
    assert drilled(judged, capsys, "--column", "amount", "--shift", f"{smallest:.6f}sd")[0] == Exit.FINE
    assert drilled(judged, capsys, "--column", "amount", "--shift", f"{0.8 * smallest:.6f}sd")[0] == Exit.BAD_NEWS


@pytest.mark.parametrize(
    ("arguments", "signal"),
    [
        (["--column", "kind", "--missing", "30%"], "data_quality"),
        (["--column", "kind", "--freeze"], "data_quality"),
        (["--column", "prediction", "--unit", "1.609"], "prediction_drift"),
        (["--swap", "amount", "kind"], "schema"),
    ],
)
def test_each_fault_is_told_by_what_it_breaks(
    judged: World, capsys: pytest.CaptureFixture[str], arguments: list[str], signal: str
) -> None:
    code, found = drilled(judged, capsys, *arguments)
    assert (code, found["verdict"]) == (Exit.FINE, "told")
    assert signal in {line["signal"] for line in found["lines"] if line["told"]}


def test_drift_of_a_column_that_is_not_important_is_found_and_not_told(
    pool: WorkerPool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with world(tmp_path, pool, NO_LABELS) as made:
        made.predict(orders(0, 4, seed=5))
        made.evaluator.turn(flush=True)
        assert run(tmp_path, "--column", "amount", "--shift", "1sd") == Exit.BAD_NEWS
    out = capsys.readouterr().out
    assert "amount shifted by 1sd: found after" in out
    assert "named in columns.important" in out
    assert "none up to 16sd is told." in out


def test_what_is_flagged_already_is_not_counted_as_found(
    pool: WorkerPool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given traffic that has drifted by itself
    with world(tmp_path, pool, {**NO_LABELS, "columns": {"important": ["amount"]}}) as made:
        made.predict(orders(0, 4, seed=5, shift=25.0))
        made.evaluator.turn(flush=True)
        code = run(tmp_path, "--column", "amount", "--shift", "1sd")
    out = capsys.readouterr().out
    assert "Without the fault there is already: " in out
    assert code == Exit.BAD_NEWS


def test_a_silence_is_held_against_what_is_usual(judged: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(judged.folder, "--drop-producer", "2h") == Exit.FINE
    out = capsys.readouterr().out
    assert "no predictions for 2 h: told after 30 min." in out
    assert "the usual gap is at most 6 min" in out
    assert run(judged.folder, "--drop-producer", "20m") == Exit.BAD_NEWS
    assert "not told" in capsys.readouterr().out


def test_without_windows_it_cannot_be_said(
    pool: WorkerPool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with world(tmp_path, pool, NO_LABELS):
        assert run(tmp_path, "--column", "amount", "--shift", "1sd") == Exit.UNDECIDED
        assert "no window of orders has been judged yet" in capsys.readouterr().err
        assert run(tmp_path, "--drop-producer", "2h") == Exit.UNDECIDED
        assert "orders has no row yet" in capsys.readouterr().err


def test_with_too_few_rows_it_cannot_be_said(
    pool: WorkerPool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = {"size": "1d", "every": "12h", "min_rows": 10_000, "allowed_lateness": "1d"}
    with world(tmp_path, pool, {**NO_LABELS, "window": window}) as made:
        made.predict(orders(0, 4, seed=5))
        made.evaluator.turn(flush=True)
        assert run(tmp_path, "--column", "prediction", "--shift", "0.2sd") == Exit.UNDECIDED
    assert "it cannot be said yet, because orders is judged with insufficient_data there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "a drill has one fault, none is given: --shift, --missing, --swap, --freeze, --unit, --drop-producer"),
        (["--column", "amount", "--shift", "1", "--freeze"], "a drill has one fault, not --shift and --freeze"),
        (["--shift", "1"], "--shift happens to a column: name it with --column"),
        (["--swap", "a", "b", "--column", "a"], "--swap needs no --column"),
        (["--column", "amount", "--shift", "far"], "--shift: 'far' is no shift"),
        (["--column", "amount", "--shift", "99sd"], "--shift: more than nothing, and at most 16sd"),
        (["--column", "amount", "--missing", "0%"], "--missing: more than nothing, and at most 100%"),
        (["--column", "amount", "--missing", "120%"], "--missing: must be between 0 and 1"),
        (["--column", "amount", "--unit", "1"], "--unit: 1 is no factor of another unit"),
        (["--drop-producer", "soon"], "--drop-producer: 'soon' is not a duration"),
        (["--column", "kind", "--shift", "1"], "orders: 'kind' is categorical: only a numeric column"),
        (["--column", "amuont", "--freeze"], "orders: there is no column 'amuont'; there are amount, kind, prediction"),
    ],
)
def test_a_drill_that_makes_no_sense_is_refused(
    judged: World, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert run(judged.folder, *arguments) == Exit.USAGE
    assert complaint in capsys.readouterr().err
