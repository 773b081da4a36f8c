"""Estimated quality of real flights, day by day, against what the labels said later, and beside NannyML's."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GroupKFold, cross_val_predict

from deploy.demo.flights import CATEGORICAL, FEATURES, load_flights, train
from detectors.columns import Role, infer_columns
from detectors.estimation.estimator import Estimator
from detectors.frames import event_times
from detectors.instants import DAY
from detectors.quality import Logged, Terms, measure, read_rows
from detectors.quality.rows import BINARY, REGRESSION
from detectors.reference import Reference, WindowLength, build_reference
from tests.benchmarks import data
from tests.benchmarks.registry import Figure, Run, Target, benchmark

FIRST_LIVE_DAY = pd.Timestamp("2013-04-01T00:00Z")
LATE_MINUTES = 15
PEER = "DRIFTD_NANNYML_PYTHON"
"""The environment variable that names a Python in which NannyML can be imported."""
METRICS = {REGRESSION: ("mae", "rmse"), BINARY: ("accuracy", "precision", "recall", "f1", "roc_auc")}
NO_WORSE = 0.98
"""What is as good as NannyML's: two in a hundred are the luck of which rows the trees learn from."""
SAMPLED, WIDE = 2_000, 20_000
"""Rows of a window that an estimate is made from, and of the largest reference that a worker learns from."""


@dataclass(frozen=True)
class Days:
    """A model's reference and the flights after it, by day."""

    task: str
    reference: pd.DataFrame
    live: pd.DataFrame

    @property
    def by_day(self) -> list[pd.DataFrame]:
        return [day for _, day in self.live.groupby(self.live["ts"].dt.floor("D"))]


@benchmark("estimation", "estimated quality of 276 days of flights against the labels that came later, beside NannyML")
def measure_estimates(run: Run) -> Iterator[Figure]:
    run.say("training a model of how late a flight arrives, and one of whether it is late")
    flights = load_flights()
    flights = flights[flights["arr_delay"].notna()]
    learned = flights[flights["departure"] < FIRST_LIVE_DAY]
    live = flights[flights["departure"] >= FIRST_LIVE_DAY]
    for days in (delays(learned, live), lateness(learned, live)):
        theirs = nannyml(run, days)
        yield from compared(days, theirs)
    yield from costs(run)


def delays(learned: pd.DataFrame, live: pd.DataFrame) -> Days:
    """The demonstration's regression."""
    model, reference = train(learned)
    later = live[[*FEATURES]].assign(ts=live["departure"], prediction=model.predict(live), label=live["arr_delay"])
    return Days(REGRESSION, reference.reset_index(drop=True), later.reset_index(drop=True))


def lateness(learned: pd.DataFrame, live: pd.DataFrame) -> Days:
    """The same trees as a classifier: more than fifteen minutes late or not."""
    vocabulary = {name: sorted(learned[name].unique()) for name in CATEGORICAL}

    def matrix(flights: pd.DataFrame) -> pd.DataFrame:
        texts = {name: pd.Categorical(flights[name], categories=known) for name, known in vocabulary.items()}
        return flights[[*FEATURES]].assign(**texts)

    def logged(flights: pd.DataFrame, score: Any) -> pd.DataFrame:
        late = (flights["arr_delay"] > LATE_MINUTES).astype(int)
        frame = flights[[*FEATURES]].assign(ts=flights["departure"], score=score, label=late)
        return frame.assign(prediction=(score >= 0.5).astype(int)).reset_index(drop=True)

    classifier = HistGradientBoostingClassifier(max_iter=120, categorical_features="from_dtype", random_state=0)
    truth = learned["arr_delay"] > LATE_MINUTES
    unseen = cross_val_predict(
        classifier,
        matrix(learned),
        truth,
        groups=learned["departure"].dt.strftime("%j"),
        cv=GroupKFold(n_splits=5),
        method="predict_proba",
    )
    classifier.fit(matrix(learned), truth)
    return Days(BINARY, logged(learned, unseen[:, 1]), logged(live, classifier.predict_proba(matrix(live))[:, 1]))


def reference_of(days: Days) -> Reference:
    """The reference that driftd makes of a file with these rows."""
    roles = {"prediction": Role.PREDICTION} | ({"score": Role.SCORE} if days.task == BINARY else {})
    frame = days.reference
    return build_reference(
        frame,
        infer_columns(frame, roles=roles, declared={}, exclude=("ts", "label")),
        event_time=event_times(frame, "ts"),
        label="label",
        window=WindowLength(DAY, DAY),
        segment_by=(),
        task=days.task,
    )


def compared(days: Days, theirs: dict[str, Any] | None) -> Iterator[Figure]:
    """How far each day's estimate was from what its labels said, on average."""
    reference, terms = reference_of(days), Terms(days.task)
    estimator = Estimator.of(reference, terms)
    assert estimator is not None
    estimated, measured = [], []
    for day in days.by_day:
        found = estimator.estimates(day.drop(columns="label").reset_index(drop=True))
        assert not isinstance(found, str)
        estimated.append(found)
        scores = day["score"].to_numpy() if "score" in day.columns else None
        rows = read_rows(Logged(day["label"].to_numpy(), day["prediction"].to_numpy(), scores), terms).rows
        measured.append(measure(days.task, rows))
    for name in METRICS[days.task]:
        truth = np.array([one[name].value for one in measured])
        ours = off(np.array([one[name].value for one in estimated]), truth)
        usual = reference.quality[name].value
        peer = None if theirs is None else off(np.array(theirs["days"][name]), truth)
        yield Figure(
            case=f"{days.task} {name}, mean absolute error of {len(truth)} days' estimates",
            unit="min" if days.task == REGRESSION else "share",
            driftd=ours,
            peer=None if theirs is None else f"nannyml {theirs['version']} {theirs['method']}",
            peer_value=peer,
            ratio=None if peer is None else peer / ours,
            target=None if peer is None else Target(at_least=NO_WORSE),
            details={
                "mean": float(np.nanmean(truth)),
                "usual": usual,
                "the_usual_value_was_off_by": off(np.full(len(truth), usual), truth),
                "backtest_on_the_reference": reference.estimation.backtests[name].off,
            },
        )


def off(estimated: np.ndarray, truth: np.ndarray) -> float:
    """The mean absolute difference, over the days that have both values."""
    return float(np.nanmean(np.abs(estimated - truth)))


def nannyml(run: Run, days: Days) -> dict[str, Any] | None:
    """What NannyML estimates of the same rows, or None when there is no Python that has it."""
    python = os.environ.get(PEER)
    if not python:
        run.say(f"nannyml not installed: name a Python that has it in {PEER} to measure beside it")
        return None
    method = "DLE" if days.task == REGRESSION else "CBPE"
    run.say(f"NannyML's {method} on the same rows")
    folder = run.folder / days.task
    folder.mkdir()
    days.reference.to_parquet(folder / "reference.parquet")
    days.live.to_parquet(folder / "live.parquet")
    asked = {"task": days.task, "features": FEATURES, "metrics": METRICS[days.task]}
    (folder / "task.json").write_text(json.dumps(asked))
    script = Path(__file__).with_name("nannyml_estimates.py")
    # One thread, as driftd's workers have.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([python, script, folder], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        run.say(f"nannyml not installed or not working in {python}: {done.stderr.strip().splitlines()[-1:]}")
        return None
    return {"method": method, **json.loads(done.stdout.splitlines()[-1])}


def costs(run: Run) -> Iterator[Figure]:
    """What estimates add to a worker: once a reference, and with each window."""
    run.say(f"learning from a reference of {WIDE:,} rows x 30 features")
    frame = data.reference(WIDE)
    error = np.random.default_rng(7).normal(0.0, 1.0, WIDE) * np.exp(frame["num_00"] / 20)
    reference = reference_of(Days(REGRESSION, frame.assign(label=frame["prediction"] + error), frame))
    terms = Terms(REGRESSION)
    estimator = Estimator.of(reference, terms)
    assert estimator is not None

    hashes = count()

    def learned() -> None:
        # A reference that the process has not seen.
        Estimator.of(replace(reference, hash=f"{next(hashes)}"), terms)

    window = data.predictions(SAMPLED, seed=1)
    yield Figure(
        case=f"learning from {WIDE:,} rows x 30 features, once a reference and worker",
        unit="s of CPU",
        driftd=cpu_seconds(learned, 3),
        target=Target(at_most=1),
    )
    yield Figure(
        case=f"an estimate of {SAMPLED:,} rows x 30 features",
        unit="s of CPU",
        driftd=cpu_seconds(lambda: estimator.estimates(window), 9),
    )


def cpu_seconds(work: Callable[[], object], times: int) -> float:
    """The median CPU time of several runs: one thread does the work, so an idle machine's clock shows the same."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken)
