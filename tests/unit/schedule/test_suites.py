"""A model's own Evidently suite beside its ordinary verdict: its own worker, its own errors, and nobody who waits."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
import pytest

from daemon.config.load import load_leniently
from daemon.schedule import evaluate
from daemon.schedule.evaluate import Evaluator
from daemon.schedule.rules import rules_of
from daemon.schedule.tasks import SuiteTask, Work
from daemon.schedule.workers import WorkerPool
from daemon.store import references
from deploy.kafka.local import CHECKOUT
from detectors.columns import Column, ColumnType, Role
from detectors.findings import SUITE, Finding, Signal, Verdict
from detectors.instants import DAY
from detectors.quality.rows import Logged
from detectors.suite.evaluation import joined_suite, sampled_suite
from tests.unit.schedule.world import MODEL, ROWS_A_DAY, START, World, orders, world

MEAN = {"metric": "MeanValue", "column": "amount", "tests": {"lte": 30}}
ERRORS = {"metric": "MAE", "mean_tests": {"lte": 0.001}}
GATE = "gate"
"""The version of the rows of a window whose suite waits for this file in the folder of the test."""


def dies(_: SuiteTask) -> tuple[Finding, ...]:
    os._exit(3)


def waits(task: SuiteTask) -> tuple[Finding, ...]:
    """Says something once the file is there that the suite's only parameter names."""
    gate = Path(task.rules.suite[0].parameters["columns"][0])
    while not gate.exists():
        time.sleep(0.02)
    return (Finding(Signal.DATA_QUALITY, f"{SUITE}waited", Verdict.OK, rows=task.rows),)


def own(function: str) -> Work[Any, Any]:
    return Work(f"tests.unit.schedule.test_suites:{function}")


@contextmanager
def with_suite(folder: Path, pool: WorkerPool, *entries: dict[str, Any], **changes: Any) -> Iterator[World]:
    """A world whose model has a suite, with a worker of its own for it."""
    with WorkerPool(1) as suites, world(folder, pool, {"evidently": list(entries), **changes}) as made:
        again = partial(Evaluator, made.settings, made.store, pool, made.specs, made.recorder)
        made.evaluator = again(lambda: made.wall, Event(), suites)
        yield made


UNLABELLED = {"labels": None, "task": "none"}


def test_both_evaluations_carry_their_part_of_the_suite(tmp_path: Path, pool: WorkerPool) -> None:
    with with_suite(tmp_path, pool, MEAN, ERRORS) as made:
        rows = orders(0, 2, seed=5)
        made.predict(rows)
        made.label(rows, until=START + 3 * DAY)
        made.evaluator.turn(flush=True)
        of_suite = [row for row in made.results() if row.metric.startswith(SUITE) and row.window_start == START]
        found = {(row.kind, row.metric.removeprefix(SUITE)): row for row in of_suite}
        assert set(found) == {("drift", "MeanValue"), ("quality", "MAE"), ("quality", "MAE.std")}
        mean, error = found["drift", "MeanValue"], found["quality", "MAE"]
        day = rows.head(ROWS_A_DAY)
        assert mean.value == pytest.approx(day["amount"].mean())
        assert (mean.signal, mean.verdict, mean.threshold) == ("data_quality", "violated", 30.0)
        assert error.value == pytest.approx((day["prediction"] - day["label"]).abs().mean())
        assert (error.signal, error.verdict, error.threshold) == ("quality", "degraded", 0.001)
        # it fires after as many windows as anything else, and says nothing about what is usual
        assert mean.incident is None
        with made.store.read() as conn:
            reference = references.current(conn, MODEL)
            assert reference is not None
            assert references.live_windows(conn, MODEL, reference, START + 9 * DAY) != []


def test_a_suite_that_ends_its_worker_takes_no_verdict_along(
    tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "SAMPLED_SUITE", own("dies"))
    with with_suite(tmp_path, pool, MEAN, **UNLABELLED) as made:
        made.predict(orders(0, 2, seed=5))
        assert made.evaluator.turn(flush=True) == 3
        found = {row.metric: row for row in made.results() if row.window_start == START}
        assert found["evidently.MeanValue"].verdict == "error"
        assert "ended 2 worker processes" in (found["evidently.MeanValue"].detail or "")
        assert found["rows"].verdict == "ok"


def test_nothing_waits_for_a_suite_but_its_own_window(
    tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "SAMPLED_SUITE", own("waits"))
    gate = tmp_path / GATE
    suite = {"preset": "DataDriftPreset", "columns": [str(gate)]}
    with with_suite(tmp_path, pool, suite, **UNLABELLED) as made:
        made.predict(orders(0, 2, seed=5))
        # A turn ends though the suite of its first window still runs, and a later one does not judge it twice
        assert made.evaluator.turn() == 0
        assert made.evaluator.turn() == 0
        assert made.results() == []
        gate.touch()
        # At a run's end all of it is waited for
        assert made.evaluator.turn(flush=True) == 3
        waited = [row for row in made.results() if row.metric == f"{SUITE}waited"]
        assert [row.rows for row in waited] == [ROWS_A_DAY // 2, ROWS_A_DAY, ROWS_A_DAY]
        assert made.evaluator.turn(flush=True) == 0


def test_every_entry_of_the_example_can_be_run() -> None:
    file = CHECKOUT / "configs" / "evidently.yaml"
    rules = rules_of(load_leniently(file, environ={}, secrets=False).settings, "churn")
    source = np.random.default_rng(7)
    n = 1_200
    rows = pd.DataFrame(
        {
            "age": source.normal(40, 9, n),
            "tenure": source.gamma(3, 12, n),
            "plan": source.choice(["basic", "plus", "pro"], n, p=[0.6, 0.3, 0.1]).astype(object),
            "score": source.uniform(0, 1, n),
        }
    )
    label = np.where(rows["score"] + source.normal(0, 0.2, n) > 0.5, "churned", "stayed").astype(object)
    prediction = np.where(rows["score"] > 0.5, "churned", "stayed").astype(object)
    columns = [
        Column("age", ColumnType.NUMERIC, Role.FEATURE, ""),
        Column("tenure", ColumnType.NUMERIC, Role.FEATURE, ""),
        Column("plan", ColumnType.CATEGORICAL, Role.FEATURE, ""),
        Column("score", ColumnType.NUMERIC, Role.SCORE, ""),
    ]
    found = [
        *sampled_suite(rules, rows, rows, columns, n),
        *joined_suite(
            rules, rows.assign(_label=label, prediction=prediction), Logged(label, prediction, rows["score"])
        ),
    ]
    assert {finding.verdict for finding in found} == {Verdict.OK}
    for entry in rules.suite:
        assert any(finding.metric.startswith(f"{SUITE}{entry.name}") for finding in found), entry.name
    assert sum(finding.threshold is not None for finding in found) >= 20
