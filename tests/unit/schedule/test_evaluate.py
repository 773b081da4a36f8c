"""Given committed rows, which findings, incidents and messages come of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from daemon.incidents.board import Board
from daemon.incidents.incident import State
from daemon.schedule import evaluate
from daemon.schedule.tasks import JUDGE_DRIFT, Work
from daemon.schedule.workers import WorkerPool
from daemon.store import evaluations, gaps, incidents, outbox, references, seen, status
from daemon.store.gaps import Gap
from daemon.store.schema import meta
from detectors.findings import FIRING
from detectors.instants import DAY, MINUTE
from tests.unit.schedule.world import MODEL, ROWS_A_DAY, START, TOPIC, World, orders, world

LOUD = {verdict.value for verdict in FIRING}


def flagged(made: World, signal: str | None = None) -> list[evaluations.ResultRow]:
    return [row for row in made.results() if row.verdict in LOUD and signal in (None, row.signal)]


def board(made: World) -> Board:
    with made.store.read() as conn:
        return made.recorder.board(conn, MODEL)


@pytest.fixture
def quiet(tmp_path: Path, pool: WorkerPool) -> Any:
    with world(tmp_path, pool, {"labels": None, "task": "none"}) as made:
        yield made


def test_every_window_that_the_watermark_has_passed_is_judged_once(quiet: World) -> None:
    quiet.predict(orders(0, 2, seed=5))
    assert quiet.evaluator.turn(flush=True) == 3
    assert quiet.evaluator.turn(flush=True) == 0
    windows = {(row.window_start, row.window_end): row for row in quiet.results() if row.metric == "rows"}
    assert sorted(windows) == [
        (START - DAY // 2, START + DAY // 2),
        (START, START + DAY),
        (START + DAY // 2, START + DAY + DAY // 2),
    ]
    assert windows[START, START + DAY].rows == ROWS_A_DAY
    assert all(row.config_hash == quiet.model.hash for row in windows.values())


def test_a_shift_opens_one_incident_after_two_disjoint_windows_and_recovers(tmp_path: Path, pool: WorkerPool) -> None:
    hook = {"receivers": {"hook": {"type": "webhook", "url": "http://localhost:9/hook"}}}
    changes = {"labels": None, "task": "none", "receivers": "hook", "installation": hook}
    with world(tmp_path, pool, changes) as made:
        made.predict(orders(0, 4, seed=5))
        made.evaluator.turn(flush=True)
        assert board(made).incidents == ()
        made.predict(orders(4, 3, seed=6, shift=25.0))
        made.evaluator.turn(flush=True)
        (incident,) = board(made).open_incidents
        assert incident.state is State.FIRING
        assert START + 4 * DAY - DAY // 2 <= incident.since <= START + 4 * DAY + DAY // 2
        made.predict(orders(7, 4, seed=7))
        made.evaluator.turn(flush=True)
        assert board(made).open_incidents == ()
        with made.store.read() as conn:
            rows = outbox.rows(conn)
            changes_told = [change.change for change in incidents.history(conn, incident.id)]
        assert (changes_told[0], changes_told[-1]) == ("opened", "resolved")
        assert [(row.receiver, row.subject) for row in rows] == [("hook", incident.id)] * len(changes_told)
        assert {row.incident for row in flagged(made, "prediction_drift")} >= {incident.id}


def test_quality_is_judged_at_coverage_and_missing_labels_are_a_finding_of_their_own(
    tmp_path: Path, pool: WorkerPool
) -> None:
    with world(tmp_path, pool) as made:
        labelled, unlabelled = orders(0, 2, seed=5), orders(2, 2, seed=6)
        made.predict(labelled)
        made.predict(unlabelled)
        made.label(labelled, until=START + 6 * DAY)
        made.evaluator.turn(flush=True)
        mae = {row.window_end: row for row in made.results() if row.metric == "mae"}
        assert mae[START + 2 * DAY].rows == ROWS_A_DAY
        assert mae[START + 2 * DAY].verdict == "ok"
        missing = {row.window_end: row.verdict for row in made.results() if row.signal == "labels_missing"}
        assert missing[START + 2 * DAY] == "ok"
        assert missing[START + 3 * DAY] == "violated"


def test_late_rows_make_a_revision_of_their_window(quiet: World) -> None:
    day = orders(0, 1, seed=5)
    quiet.predict(day[: ROWS_A_DAY // 2])
    quiet.predict(orders(1, 1, seed=6))
    quiet.evaluator.turn(flush=True)
    quiet.predict(day[ROWS_A_DAY // 2 :])
    quiet.evaluator.turn(flush=True)
    rows = [
        (row.revision, row.rows) for row in quiet.results() if row.metric == "rows" and row.window_end == START + DAY
    ]
    assert rows == [(0, ROWS_A_DAY // 2), (1, ROWS_A_DAY)]


def test_an_evaluation_that_fails_is_an_error_finding_and_a_sentence_and_no_incident(
    quiet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: Work[Any, Any] = replace(JUDGE_DRIFT, path="daemon.schedule.judging:nothing_of_that_name")
    monkeypatch.setattr("daemon.schedule.evaluate.JUDGE_DRIFT", broken)
    quiet.predict(orders(0, 2, seed=5))
    assert quiet.evaluator.turn(flush=True) == 3
    errors = [row for row in quiet.results() if row.verdict == "error"]
    assert [row.signal for row in errors] == ["driftd"] * 3
    assert "nothing_of_that_name" in str(errors[0].detail)
    assert board(quiet).lines == ()
    with quiet.store.read() as conn:
        (note,) = status.load_notes(conn)
    assert note.sentence.startswith(f"{MODEL}: the drift evaluation of ")
    # When it works again, the sentence goes
    monkeypatch.undo()
    quiet.predict(orders(2, 1, seed=6))
    quiet.evaluator.turn(flush=True)
    with quiet.store.read() as conn:
        assert status.load_notes(conn) == []


def test_a_window_that_failed_is_tried_again_later_and_counts_then(
    tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given windows whose evaluation fails while a column is gone
    broken: Work[Any, Any] = replace(JUDGE_DRIFT, path="daemon.schedule.judging:nothing_of_that_name")
    with world(tmp_path, pool, {"labels": None, "task": "none"}) as made:
        made.predict(orders(0, 2, seed=5))
        made.evaluator.turn(flush=True)
        monkeypatch.setattr("daemon.schedule.evaluate.JUDGE_DRIFT", broken)
        made.predict(orders(2, 2, seed=6).assign(kind=None))
        assert made.evaluator.turn(flush=True) == 4
        # When it works again, nothing happens at once, but a minute later
        monkeypatch.undo()
        assert made.evaluator.turn(flush=True) == 0
        made.wall += MINUTE
        assert made.evaluator.turn(flush=True) == 4
        # Then the windows count as if they had been judged at first
        (incident,) = board(made).open_incidents
        assert "lost" in {line.key.metric for line in incident.lines}
        assert made.evaluator.turn(flush=True) == 0
        last = [row for row in made.results(final_only=True) if row.window_end == START + 3 * DAY]
        assert {row.revision for row in last} == {1}


def test_a_daemon_that_starts_tries_what_has_failed_before(
    tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: Work[Any, Any] = replace(JUDGE_DRIFT, path="daemon.schedule.judging:nothing_of_that_name")
    with world(tmp_path, pool, {"labels": None, "task": "none"}) as made:
        monkeypatch.setattr("daemon.schedule.evaluate.JUDGE_DRIFT", broken)
        made.predict(orders(0, 2, seed=5))
        assert made.evaluator.turn(flush=True) == 3
    monkeypatch.undo()
    with world(tmp_path, pool, {"labels": None, "task": "none"}) as made:
        assert made.evaluator.turn(flush=True) == 3
        assert [row for row in made.results(final_only=True) if row.verdict == "error"] == []


def test_a_rule_that_is_broken_in_the_first_window_opens_at_once(tmp_path: Path, pool: WorkerPool) -> None:
    changes = {"labels": None, "task": "none", "columns": {"overrides": {"amount": {"range": [0, 1]}}}}
    with world(tmp_path, pool, changes) as made:
        made.predict(orders(0, 1, seed=5))
        made.evaluator.turn(flush=True)
        (row,) = [row for row in flagged(made) if row.metric == "out_of_range"]
        (incident,) = board(made).open_incidents
        assert (row.window_end, row.incident) == (START + DAY // 2, incident.id)
        (window,) = board(made).windows
        assert window.held == "reading began in this window"


def test_lost_offsets_of_a_replay_are_told_where_they_were_however_fast_it_is_read(quiet: World) -> None:
    # Given ten days with a gap on the fourth, all of them read before anyone looks
    quiet.predict(orders(0, 10, seed=5))
    place = (MODEL, "predictions", "cluster", TOPIC, "topic-id", 0)
    with quiet.store.write() as conn:
        gaps.record_gap(conn, Gap(*place, 10, 25, START + 3 * DAY, START + 4 * DAY, "retention", START))
        gaps.record_gap(conn, Gap(*place, 90, 95, START + 9 * DAY, None, "retention", START))
    # When it is looked at before the run is over, and then at its end
    quiet.evaluator.turn()
    lost = [(row.window_end, row.verdict, row.value) for row in quiet.results() if row.metric == "lost_offsets"]
    assert lost == [(START + 4 * DAY, "violated", 15), (START + 5 * DAY, "ok", 0)]
    (incident,) = board(quiet).incidents
    assert (incident.since, incident.state) == (START + 3 * DAY, State.RESOLVED)
    quiet.evaluator.turn(flush=True)
    (row,) = [row for row in quiet.results() if row.metric == "lost_offsets" and row.window_end > START + 5 * DAY]
    assert (row.verdict, row.value) == ("violated", 5)
    assert len(board(quiet).open_incidents) == 1


def test_a_column_that_no_message_has_held_is_a_sentence_and_one_that_goes_is_an_incident(quiet: World) -> None:
    # Given messages without a column of the reference
    quiet.predict(orders(0, 3, seed=5).assign(kind=None))
    quiet.evaluator.turn(flush=True)
    assert [row for row in flagged(quiet) if row.column == "kind"] == []
    assert board(quiet).incidents == ()
    with quiet.store.read() as conn:
        (note,) = status.load_notes(conn)
    assert note.sentence.startswith(f"{MODEL}: column kind of the reference has never been seen in the messages: ")
    # When it comes, the sentence goes; when it goes again, that is told at once, and once
    quiet.predict(orders(3, 2, seed=6))
    quiet.evaluator.turn(flush=True)
    with quiet.store.read() as conn:
        assert status.load_notes(conn) == []
    quiet.predict(orders(5, 2, seed=7).assign(kind=None))
    quiet.evaluator.turn(flush=True)
    gone = [row for row in flagged(quiet) if row.column == "kind" and row.window_start >= START + 5 * DAY]
    assert {(row.signal, row.metric) for row in gone} == {("schema", "lost")}
    (incident,) = board(quiet).open_incidents
    assert {row.incident for row in gone} == {incident.id}


def test_columns_that_were_seen_before_that_was_kept_are_known_by_their_findings(quiet: World) -> None:
    quiet.predict(orders(0, 2, seed=5))
    quiet.evaluator.turn(flush=True)
    with quiet.store.write() as conn:
        conn.execute(delete(meta).where(meta.c.key.startswith("seen:")))
        assert seen.columns(conn, MODEL) == {"amount", "kind", "label", "prediction"}
        seen.note(conn, MODEL, {"colour"}, START)
        assert seen.columns(conn, MODEL) == {"amount", "colour", "kind", "label", "prediction"}
        assert seen.columns(conn, MODEL[:-1]) == frozenset()


def test_looking_only_at_what_can_still_change_judges_the_same_windows(
    quiet: World, tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given one world that is looked at after every day, and one that is looked at once at the end
    monkeypatch.setattr(evaluate, "REST", 0.0)
    days = [orders(day, 1, seed=day) for day in range(8)]
    for day in days:
        quiet.predict(day)
        quiet.evaluator.turn()
    assert quiet.evaluator.turn() == 0  # no checkpoint since, so nothing is asked
    (tmp_path / "other").mkdir()
    with world(tmp_path / "other", pool, {"labels": None, "task": "none"}) as other:
        for day in days:
            other.predict(day)
        other.evaluator.turn(flush=True)
        whole = {(row.window_end, row.rows) for row in other.results() if row.metric == "rows"}
    # When the first has seen its end too, then both have judged the same
    quiet.evaluator.turn(flush=True)
    assert {(row.window_end, row.rows) for row in quiet.results(final_only=True) if row.metric == "rows"} == whole


def test_a_silence_is_found_however_far_a_replay_has_run_ahead_of_it(quiet: World) -> None:
    # Given two quiet days, and rows again for two months before anyone looks
    quiet.predict(orders(0, 2, seed=5))
    quiet.predict(orders(4, 60, seed=6))
    # When the windows are judged in one turn
    quiet.evaluator.turn(flush=True)
    # Then the silence has been told
    assert [row.window_end for row in quiet.results() if row.kind == "silence"] == [START + 4 * DAY]


def test_a_silence_that_a_later_row_proves_is_one_incident_and_its_windows_are_held(quiet: World) -> None:
    quiet.predict(orders(0, 3, seed=5))
    quiet.predict(orders(4, 2, seed=6))
    quiet.evaluator.turn(flush=True)
    (silence,) = [row for row in quiet.results() if row.kind == "silence"]
    assert (silence.signal, silence.verdict) == ("no_predictions", "violated")
    assert silence.window_end == START + 4 * DAY
    (incident,) = board(quiet).incidents
    assert (incident.family, incident.state) == ("data", State.RESOLVED)
    assert silence.incident == incident.id
    # and no turn tells of it again
    quiet.evaluator.turn(flush=True)
    assert len([row for row in quiet.results() if row.kind == "silence"]) == 1


def test_windows_with_lost_rows_neither_speak_nor_calibrate(quiet: World) -> None:
    quiet.predict(orders(0, 1, seed=5))
    quiet.predict(orders(1, 3, seed=6, shift=25.0))
    with quiet.store.write() as conn:
        gaps.record_gap(
            conn,
            Gap(
                MODEL,
                "predictions",
                "cluster",
                TOPIC,
                "topic-id",
                0,
                10,
                20,
                START,
                START + 4 * DAY,
                "retention",
                START,
            ),
        )
    quiet.evaluator.turn(flush=True)
    assert flagged(quiet, "prediction_drift") != []
    assert board(quiet).incidents == ()
    with quiet.store.read() as conn:
        reference = references.current(conn, MODEL)
        assert reference is not None
        assert references.live_windows(conn, MODEL, reference, START + 9 * DAY) == []


def test_live_windows_are_the_unflagged_disjoint_ones_in_order(quiet: World) -> None:
    quiet.predict(orders(0, 3, seed=5))
    quiet.predict(orders(3, 1, seed=6, shift=25.0))
    quiet.predict(orders(4, 2, seed=7))
    quiet.evaluator.turn(flush=True)
    with quiet.store.read() as conn:
        reference = references.current(conn, MODEL)
        assert reference is not None
        count = len(references.live_windows(conn, MODEL, reference, START + 9 * DAY))
        last = references.last_live_window_end(conn, MODEL, reference)
    quiet_ends = {row.window_end for row in quiet.results() if row.metric == "rows"} - {
        row.window_end for row in quiet.results() if row.flagged
    }
    assert last in quiet_ends
    assert 1 <= count <= len(quiet_ends) // 2 + 1


def test_a_restart_in_the_middle_changes_nothing(tmp_path: Path, pool: WorkerPool) -> None:
    def run(folder: Path, *, restarts: bool) -> list[evaluations.ResultRow]:
        folder.mkdir()
        for part in ([0], [1]) if restarts else ([0, 1],):
            with world(folder, pool, {"labels": None, "task": "none"}) as made:
                made._offset["predictions"] = 2 * ROWS_A_DAY * part[0]
                for number in part:
                    made.predict(orders(2 * number, 2, seed=5 + number))
                    made.evaluator.turn(flush=True)
                found = made.results()
        # The folder's name is in the uri of the reference, and so in the hash of the configuration.
        return [replace(row, evaluated_at=0, config_hash="") for row in found]

    assert run(tmp_path / "one", restarts=False) == run(tmp_path / "two", restarts=True)
