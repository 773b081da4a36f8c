"""The benchmarks at a tiny size: registered, documented, and fed the same rows for the same seed. No times."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deploy.kafka.local import CHECKOUT
from detectors.evaluation import evaluate_drift
from detectors.findings import Signal
from detectors.instants import SECOND
from detectors.rules import Rules
from tests.benchmarks import data, flight_days, judges, kinds, verdicts
from tests.benchmarks.__main__ import main
from tests.benchmarks.producer import Plan, plan_rows
from tests.benchmarks.registry import NAMES, Benchmark, Figure, Run, Target, load
from tests.benchmarks.timing import percentile
from tests.benchmarks.verdict import input_of
from tests.benchmarks.windows import built_reference

FOLDER = CHECKOUT / "tests" / "benchmarks"


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_is_registered_under_its_modules_name(name: str) -> None:
    found = load(name)
    assert found.name == name
    assert found.sentence


def test_every_module_that_registers_a_benchmark_is_in_the_list() -> None:
    registering = {path.stem for path in FOLDER.glob("*.py") if "\n@benchmark(" in path.read_text()}
    assert registering == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_is_documented(name: str) -> None:
    text = (CHECKOUT / "docs" / "benchmarks.md").read_text()
    assert f"\n## {name}\n" in text


def test_a_message_holds_what_the_issue_asks_for() -> None:
    frame = data.predictions(500, seed=1)
    for body in data.messages(frame, data.START + np.arange(500) * 777):
        message = json.loads(body)
        assert len(body) == data.MESSAGE_BYTES
        assert sum(isinstance(value, str) for value in message["features"].values()) == data.CATEGORICAL
        assert len(message["features"]) == data.NUMERIC + data.CATEGORICAL


def test_the_same_seed_gives_the_same_rows_and_another_one_others() -> None:
    first, again, other = data.predictions(50, seed=3), data.predictions(50, seed=3), data.predictions(50, seed=4)
    assert first.equals(again)
    assert not first.equals(other)


def test_ids_are_unique() -> None:
    assert len({data.prediction_id(number) for number in range(5_000)}) == 5_000


def test_each_model_of_a_plan_breaks_when_it_should() -> None:
    length = 10 * SECOND
    plan = Plan("", ["t"], 2, 400, 10.0, models=["a", "b"], aligned=length, broken_from=[2, 3])
    broken: dict[str, list[int]] = {"a": [], "b": []}
    for instant, body in plan_rows(plan, data.START):
        message = json.loads(body)
        if message["features"]["num_00"] == data.OUT_OF_RANGE:
            broken[message["model"]].append((instant - data.START) // length)
    assert sorted(set(broken["a"])) == [2, 3]
    assert sorted(set(broken["b"])) == [3]


def test_a_window_of_made_up_rows_is_judged_column_by_column() -> None:
    reference = built_reference(data.reference(2_800))
    result = evaluate_drift(input_of(reference.layout, reference.to_bytes(), [data.predictions(600, seed=5)]))
    assert result.rows == 600
    judged = {finding.column for finding in result.findings if finding.signal is Signal.FEATURE_DRIFT}
    assert len(judged) == data.NUMERIC + data.CATEGORICAL


def test_each_judge_flags_a_change_and_driftd_nothing_else() -> None:
    days = [kinds.plain(400, seed) for seed in range(15)]
    judge, evidently = judges.Judge.of(days, Rules()), judges.evidently_defaults(days)
    assert judges.flagged(judge.evaluate(kinds.plain(400, 99), 0)) == set()
    column, change = kinds.CHANGES["+0.5 sigma"]
    moved = change(kinds.plain(400, 98), np.random.default_rng(0))
    results = [judge.evaluate(moved, number) for number in range(4)]
    assert judges.flagged(results[0]) == {column}
    assert column in judge.over_sigmas(results[0])
    assert evidently(moved, [column]) == {column}
    policy = judges.loud(judge.reference)
    assert list(judges.opened([result.findings for result in results], policy)) == [1]
    assert judges.delay([result.findings for result in results], policy) == 2.0


@pytest.mark.parametrize("name", kinds.CHANGES)
def test_a_change_changes_its_column_and_only_where_it_says(name: str) -> None:
    column, change = kinds.CHANGES[name]
    frame = kinds.plain(2_000, 1)
    kept = frame.copy()
    changed = change(frame, np.random.default_rng(0))
    pd.testing.assert_frame_equal(frame, kept)
    moved = {str(c) for c in frame if not frame[c].equals(changed[c])}
    assert moved == ({"first", "second"} if "swapped" in name else {column})


def test_references_in_real_order_come_before_their_windows() -> None:
    days = [pd.DataFrame({"day": [i]}) for i in range(30)]
    pairs = list(flight_days.in_order(days, 10, 5, step=7))
    assert [int(before[0]["day"].iloc[0]) for before, _ in pairs] == [0, 7, 14]
    for before, after in pairs:
        assert (len(before), len(after)) == (10, 5)
        assert int(after[0]["day"].iloc[0]) == int(before[-1]["day"].iloc[0]) + 1


def test_a_tally_holds_a_target_against_driftds_own_share() -> None:
    tally = verdicts.Tally()
    tally.add(["a", "b"], {"a"}, {"a", "b"}, None)
    figure = tally.figure("case", fewer=True, target=Target(at_most=60.0))
    assert (figure.driftd, figure.peer_value, figure.ratio, figure.met) == (50.0, 100.0, None, True)
    assert tally.figure("case", fewer=True).ratio == 2.0


def test_a_figure_says_whether_it_met_its_target() -> None:
    figure = Figure("case", "s", 1.0, "peer 1.2", 3.0, 3.0, Target(at_least=2.5))
    assert figure.as_json()["met"] is True
    assert Figure("case", "MiB", 301.0, target=Target(at_most=300)).met is False
    assert Figure("case", "s", 1.0).met is None


def test_a_run_prints_one_object_for_each_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(name: str) -> Benchmark:
        def measure(run: Run):  # type: ignore[no-untyped-def]
            assert run.folder.is_dir()
            yield Figure("case", "s", 1.0)
            if name == "memory":
                raise ValueError("no memory")

        return Benchmark(name, "a sentence", measure)

    monkeypatch.setattr("tests.benchmarks.__main__.load", fake)
    assert main(["verdict", "memory"]) == 1
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["benchmark"] == "verdict"
    assert "error" not in first
    assert second["error"] == "ValueError: no memory"
    assert len(second["figures"]) == 1
    assert not {"host", "hostname", "node"} & set(first["machine"])
    assert Path.home().name not in first["machine"].values()


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert percentile([1.0], 0.5) == 1.0
