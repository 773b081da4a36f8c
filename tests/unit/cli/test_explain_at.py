"""What `driftd explain MODEL --at T` says of recorded windows: why it spoke, and why it did not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.cli import app
from daemon.cli.errors import Exit
from daemon.incidents.board import Board
from daemon.schedule.workers import WorkerPool
from daemon.store import gaps, incidents
from daemon.store.gaps import Gap
from detectors.instants import DAY, HOUR, Micros, rfc3339
from tests.unit.schedule.world import MODEL, START, TOPIC, World, orders, world


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1) as pool:
        yield pool


@pytest.fixture
def made(tmp_path: Path, pool: WorkerPool) -> Iterator[World]:
    """Four ordinary days, judged; then three on which the number moves."""
    with world(tmp_path, pool, {"labels": None, "task": "none"}) as made:
        made.predict(orders(0, 4, seed=5))
        made.predict(orders(4, 3, seed=6, shift=25.0))
        made.evaluator.turn(flush=True)
        yield made


def at(made: World, instant: Micros, *options: str) -> list[str]:
    config = str(made.folder / "driftd.yaml")
    return ["explain", MODEL, "--at", rfc3339(instant), "--config", config, *options]


def asked(made: World, instant: Micros, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert app.invoke(at(made, instant, "--format", "json", *options)) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def shown(made: World, instant: Micros, capsys: pytest.CaptureFixture[str]) -> str:
    assert app.invoke(at(made, instant)) == 0
    return " ".join(capsys.readouterr().out.split())


def of_window(found: dict[str, Any], end: Micros, column: str) -> dict[str, Any]:
    return next(
        one
        for one in found["lines"]
        if (one["window_end"], one["column"]) == (rfc3339(end), column) and "drift" in one["signal"]
    )


def test_after_the_first_flagged_window_a_second_is_waited_for_and_after_that_it_is_told(
    made: World, capsys: pytest.CaptureFixture[str]
) -> None:
    first = START + 4 * DAY + DAY // 2
    found = asked(made, first, capsys)
    line = of_window(found, first, "prediction")
    assert (line["windows_flagged"], line["for"], line["at_least"], line["incident"]) == (1, 2, False, None)
    assert line["phase"] == "pending"
    assert line["next_counted_window_end"] == rfc3339(first + DAY)
    assert line["why"] == "flagged in 1 of 2 disjoint windows"
    assert line["p_value"] < line["level"] <= 0.02
    assert (line["budget"], line["budget_portion"]) == ("drift", 0.5)
    (incident,) = found["incidents"]
    assert incident["told"] == rfc3339(first + DAY)

    told = asked(made, first + DAY, capsys)
    line = of_window(told, first + DAY, "prediction")
    assert (line["windows_flagged"], line["incident"], line["why"]) == (2, incident["incident"], "told")
    assert f"told: {incident['incident']}" in shown(made, first + DAY, capsys)


def test_a_feature_that_is_not_important_says_why_it_alone_tells_nobody(
    made: World, capsys: pytest.CaptureFixture[str]
) -> None:
    first = START + 4 * DAY + DAY // 2
    line = of_window(asked(made, first, capsys, "--all"), first, "amount")
    assert (
        line["why"] == "flagged; drift of a column that is not listed as important is told only with another incident"
    )


def test_on_a_quiet_day_the_nearest_to_its_limit_comes_first_in_ten_lines_or_all(
    made: World, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = START + 2 * DAY
    found = asked(made, quiet, capsys)
    assert {window["end"] for window in found["windows"]} == {rfc3339(quiet + hours * HOUR) for hours in (0, 12, 24)}
    assert {window["state"] for window in found["windows"]} == {"judged"}
    near = [line["nearness"] for line in found["lines"]]
    assert near == sorted(near, reverse=True)
    assert len(near) == 10
    assert {line["why"] for line in found["lines"] if line["nearness"] < 1} == {"within its limit"}
    everything = asked(made, quiet, capsys, "--all")
    assert len(everything["lines"]) == 10 + found["lines_left_out"]
    assert all(line in everything["lines"] for line in found["lines"])
    names = [tuple(line[part] for part in ("signal", "column", "metric", "version")) for line in found["lines"]]
    assert len(set(names)) == 10
    assert found["incidents"] == []
    assert "No incident lasted then." in shown(made, quiet, capsys)


def test_a_window_that_has_not_been_read_to_its_end_names_the_partition(
    made: World, capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(made, START + 8 * DAY, capsys)
    assert [window["state"] for window in found["windows"]] == ["judged", *["not judged"] * 3]
    why = found["windows"][-1]["why"]
    assert f"{TOPIC}[0] has not been read beyond event time 2013-03-07T23:54:00Z (offset 1680 of 1680)" in why
    assert "the watermark stands at" in why
    assert found["next"].startswith(f"with the window that ends {rfc3339(START + 8 * DAY + DAY // 2)}, once")


def test_a_window_before_reading_began_and_a_silence(made: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = asked(made, START - 3 * DAY, capsys)
    assert {window["why"] for window in before["windows"]} == {f"reading began later, with rows of {rfc3339(START)}"}
    assert before["lines"] == []
    made.predict(orders(10, 2, seed=8))
    made.evaluator.turn(flush=True)
    (stretch,) = asked(made, START + 9 * DAY, capsys)["interruptions"]
    assert (stretch["kind"], stretch["start"]) == ("silence", "2013-03-07T23:54:00Z")
    assert "drift and quality are held back meanwhile" in shown(made, START + 9 * DAY, capsys)


def test_a_window_that_lost_rows_was_held_back(
    tmp_path: Path, pool: WorkerPool, capsys: pytest.CaptureFixture[str]
) -> None:
    with world(tmp_path, pool, {"labels": None, "task": "none"}) as made:
        end = START + 3 * DAY
        with made.store.write() as conn:
            place = (MODEL, "predictions", "cluster", TOPIC, "topic-id", 0)
            gaps.record_gap(conn, Gap(*place, 100, 200, end - DAY + HOUR, end - DAY + 2 * HOUR, "retention", 0))
        made.predict(orders(0, 2, seed=5))
        made.predict(orders(2, 2, seed=6, shift=25.0))
        made.evaluator.turn(flush=True)
        found = asked(made, end, capsys)
        window = next(one for one in found["windows"] if one["end"] == rfc3339(end))
        assert window["state"] == "held"
        line = of_window(found, end, "prediction")
        assert (line["windows_flagged"], line["incident"]) == (0, None)
        assert line["why"] == "flagged, but its window is held back: rows of this window were lost"


def test_what_the_board_does_not_remember_is_said_and_not_made_up(
    made: World, capsys: pytest.CaptureFixture[str]
) -> None:
    first = START + 4 * DAY + DAY // 2
    with made.store.write() as conn:
        body = incidents.load_board(conn, MODEL)
        assert body is not None
        board = msgspec.structs.replace(Board.from_bytes(body), windows=())
        incidents.save_board(conn, MODEL, board.to_bytes(), START)
    found = asked(made, first, capsys)
    line = of_window(found, first, "prediction")
    assert (line["windows_flagged"], line["phase"]) == (None, None)
    assert line["why"] == "flagged and not told; how far it had counted is not known any more"
    assert any("was held back" in sentence for sentence in found["unknown"])
    text = shown(made, first, capsys)
    assert "? of 2" in text
    assert "Not known any more: whether the drift window" in text


def test_an_evaluation_that_failed_is_said(made: World, capsys: pytest.CaptureFixture[str]) -> None:
    made.predict(orders(7, 2, seed=9))
    with made.store.write() as conn:
        conn.exec_driver_sql("UPDATE partials SET profile = x'00' WHERE pane_start >= ?", (START + 8 * DAY,))
    made.evaluator.turn(flush=True)
    found = asked(made, START + 8 * DAY + DAY // 2, capsys)
    window = next(one for one in found["windows"] if one["end"] == rfc3339(START + 8 * DAY + DAY // 2))
    assert window["state"] == "failed"
    errors = [line for line in found["lines"] if line["verdict"] == "error"]
    assert errors
    assert errors[0]["why"].startswith("it could not be judged: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explain", MODEL, "--all"], "--all belongs to --at"),
        (["explain", MODEL, "--at", "soon"], "--at soon: not an instant"),
    ],
)
def test_options_that_make_no_sense(
    words: list[str], said: str, made: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.invoke([*words, "--config", str(made.folder / "driftd.yaml")]) == Exit.USAGE
    assert said in capsys.readouterr().err
