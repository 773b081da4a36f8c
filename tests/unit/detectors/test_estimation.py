"""Estimated quality: the same battery for every family, laws that hold where the truth is known, and bad references."""

from __future__ import annotations

import json
import math
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.config.vocabulary import ESTIMATED_METRICS
from detectors.columns import Role
from detectors.estimation.estimator import Estimator
from detectors.estimation.family import FAMILIES
from detectors.estimation.isotonic import MOST_KNOTS, Curve
from detectors.findings import Finding, Signal, Verdict
from detectors.quality import Logged, Terms, Worse, measure, metrics_of, read_rows
from detectors.quality.rows import BINARY, MULTICLASS, REGRESSION
from detectors.reference import Reference
from detectors.rules import QualityLimit, Rules
from tests.unit.detectors.windows import day_times, drift_input, evaluated, made_reference

DAYS, A_DAY = 20, 200
CLASSES = ("cat", "dog", "emu")
ROLES = {"prediction": Role.PREDICTION, "score": Role.SCORE}
each_task = pytest.mark.parametrize("task", FAMILIES.names())


def rows(task: str, n: int, seed: int, shift: float = 0.0, base: float = 1.0) -> pd.DataFrame:
    """Rows of a model whose truth is known: its scores are honest, or its errors grow with `x`."""
    random = np.random.default_rng(seed)
    x = random.normal(size=n) + shift
    kind = random.choice(["a", "b"], n).astype(object)
    if task == REGRESSION:
        prediction = 10 + 3 * x
        spread = base * np.exp(0.5 * x) * np.where(kind == "a", 1.0, 2.0)
        frame = {"prediction": prediction, "label": prediction + spread * random.normal(size=n)}
    elif task == BINARY:
        score = 1 / (1 + np.exp(-2 * x))
        positive = random.random(n) < score
        predicted = (score >= 0.5).astype(int).astype(str).astype(object)
        frame = {"prediction": predicted, "score": score, "label": positive.astype(float)}
    else:
        shares = np.exp(np.column_stack([x, -x, np.zeros(n)]))
        shares /= shares.sum(axis=1, keepdims=True)
        labels = (random.random(n)[:, None] > np.cumsum(shares, axis=1)).sum(axis=1)
        texts = [json.dumps(dict(zip(CLASSES, map(float, share), strict=True))) for share in shares]
        names = np.array(CLASSES, dtype=object)
        frame = {"prediction": names[shares.argmax(axis=1)], "scores": texts, "label": names[np.minimum(labels, 2)]}
    return pd.DataFrame({"x": x, "kind": kind, **frame})


def reference(task: str, frame: pd.DataFrame | None = None, *, timed: bool = True) -> Reference:
    frame = rows(task, DAYS * A_DAY, seed=1) if frame is None else frame
    return made_reference(
        frame,
        event_time=day_times(len(frame), DAYS) if timed else None,
        roles={name: role for name, role in ROLES.items() if name in frame.columns},
        label="label" if "label" in frame.columns else None,
        scores="scores" if "scores" in frame.columns else None,
        task=task,
    )


REFERENCES = {task: reference(task) for task in FAMILIES.names()}


def estimator(task: str) -> Estimator:
    made = REFERENCES[task]
    found = Estimator.of(made, Terms(task, classes=made.classes))
    assert found is not None
    return found


def estimates(task: str, frame: pd.DataFrame) -> dict[str, float]:
    scores = frame["scores"].to_numpy(dtype=object) if "scores" in frame.columns else None
    found = estimator(task).estimates(frame.drop(columns="label"), scores)
    assert not isinstance(found, str), found
    return {name: measured.value for name, measured in found.items()}


def truth(task: str, frame: pd.DataFrame) -> dict[str, float]:
    named = [frame[name].to_numpy() if name in frame.columns else None for name in ("prediction", "score", "scores")]
    read = read_rows(Logged(frame["label"].to_numpy(), *named), Terms(task, classes=CLASSES))
    return {name: measured.value for name, measured in measure(task, read.rows).items()}


def window(task: str, frame: pd.DataFrame, rules: Rules | None = None, made: Reference | None = None) -> list[Finding]:
    """The estimates of a window's evaluation."""
    made = REFERENCES[task] if made is None else made
    given = drift_input(made, frame.drop(columns=["label", "scores"], errors="ignore"), rules or Rules(task=task))
    if "scores" in frame.columns:
        texts = tuple(
            json.dumps([prediction, json.loads(text)], separators=(",", ":"))
            for prediction, text in zip(frame["prediction"], frame["scores"], strict=True)
        )
        given = replace(given, scored={"1": texts})
    from detectors.evaluation import evaluate_drift

    return [finding for finding in evaluate_drift(given).findings if finding.signal is Signal.ESTIMATED_QUALITY]


# Every family


@each_task
def test_what_is_estimated_are_metrics_of_the_task(task: str) -> None:
    learned = REFERENCES[task].estimation
    assert learned.reason is None
    assert set(learned.floors) <= set(metrics_of(task))
    assert set(learned.floors) == set(ESTIMATED_METRICS.get(task, learned.floors))
    assert set(learned.floors) == set(learned.backtests) == set(estimates(task, rows(task, 300, 2)))
    assert all(len(floor.windows) == DAYS for floor in learned.floors.values())


@each_task
def test_an_estimate_is_near_the_truth_on_ordinary_rows_and_on_shifted_ones(task: str) -> None:
    for shift in (0.0, -0.5, 0.5):
        frame = rows(task, 40_000, seed=3, shift=shift)
        found, measured = estimates(task, frame), truth(task, frame)
        for name, value in found.items():
            # Squares of the largest errors are what trees learn worst.
            near = 0.12 if name == "rmse" else 0.08
            assert value == pytest.approx(measured[name], rel=near, abs=0.02), (name, shift)


@each_task
def test_an_estimate_is_deterministic_and_leaves_its_input_alone(task: str) -> None:
    frame = rows(task, 500, 4)
    kept = pickle.dumps(frame)
    assert estimates(task, frame) == estimates(task, frame)
    assert pickle.dumps(frame) == kept
    assert reference(task).to_bytes() == REFERENCES[task].to_bytes()


@each_task
def test_an_estimate_does_not_depend_on_the_order_of_rows(task: str) -> None:
    frame = rows(task, 500, 4)
    shuffled = frame.sample(frac=1, random_state=0)
    assert estimates(task, shuffled) == pytest.approx(estimates(task, frame), abs=1e-9)


@each_task
def test_what_was_learned_survives_the_store(task: str) -> None:
    read = Reference.from_bytes(REFERENCES[task].to_bytes())
    assert read.estimation == REFERENCES[task].estimation
    again = Estimator._learned(read, Terms(task, classes=read.classes))  # not the one that this process remembers
    frame = rows(task, 300, 5)
    scores = frame["scores"].to_numpy(dtype=object) if "scores" in frame.columns else None
    assert again.estimates(frame, scores) == estimator(task).estimates(frame, scores)


@each_task
@pytest.mark.parametrize("n", [0, 1, 7])
def test_few_rows_give_a_number_or_a_reason(task: str, n: int) -> None:
    frame = rows(task, 50, 6).iloc[:n]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = frame["scores"].to_numpy(dtype=object) if "scores" in frame.columns else None
        found = estimator(task).estimates(frame, scores)
    if not n:
        assert found == "no row has what an estimate is made from"
    else:
        assert not isinstance(found, str)
        assert all(math.isfinite(one.value) or one.detail for one in found.values())


@each_task
def test_a_backtest_says_how_far_off_it_was(task: str) -> None:
    for test in REFERENCES[task].estimation.backtests.values():
        assert test.windows == DAYS
        # Days differ by chance alone here: no estimate can be better than the usual value, or far worse.
        assert 0 < test.off < 1.2 * test.usual_off
        assert test.own_error < test.off


@each_task
def test_without_event_times_it_is_uncalibrated(task: str) -> None:
    made = reference(task, rows(task, 2_000, 1), timed=False)
    found = window(task, rows(task, 300, 2), made=made)
    judged = [finding for finding in found if finding.threshold is not None]
    assert judged
    assert {finding.verdict for finding in judged} == {Verdict.UNCALIBRATED}
    assert "held-back parts of the reference" in (judged[0].detail or "")


# The verdict


@each_task
def test_ordinary_rows_are_quiet_and_each_finding_says_what_it_is(task: str) -> None:
    found = window(task, rows(task, 400, 7))
    assert {finding.metric for finding in found} == set(REFERENCES[task].estimation.floors)
    for finding in found:
        assert finding.estimated
        assert not finding.immediate
        assert finding.verdict is Verdict.OK
        assert finding.usual == REFERENCES[task].quality[finding.metric].value
        assert finding.noise_floor is not None
        assert "estimate from 400 rows, blind to concept drift" in (finding.detail or "")


@pytest.mark.parametrize(("task", "metric", "shift"), [(REGRESSION, "mae", 1.2), (BINARY, "accuracy", -0.0)])
def test_rows_that_the_model_is_bad_at_are_flagged_before_any_label(task: str, metric: str, shift: float) -> None:
    frame = rows(task, 400, 8, shift=shift)
    if task == BINARY:
        frame = frame[np.abs(frame["x"]) < 0.3].reset_index(drop=True)
    rules = Rules(task=task, min_rows=50, quality={metric: QualityLimit(worse_than_reference=0.2)})
    (finding,) = [finding for finding in window(task, frame, rules) if finding.metric == metric]
    assert finding.verdict is Verdict.DEGRADED
    assert finding.flagged
    assert finding.value is not None
    assert finding.threshold is not None
    worse = metrics_of(task)[metric].worse
    assert finding.value > finding.threshold if worse is Worse.HIGHER else finding.value < finding.threshold


def test_an_explicit_limit_is_no_rule_for_an_estimate() -> None:
    # Given a limit that ordinary windows are beyond
    rules = Rules(task=REGRESSION, quality={"mae": QualityLimit(maximum=0.1)})
    (finding,) = [finding for finding in window(REGRESSION, rows(REGRESSION, 400, 9), rules) if finding.metric == "mae"]
    # Then the estimate alone says nothing: it is what it always is
    assert finding.threshold == 0.1
    assert finding.verdict is Verdict.OK


def test_concept_drift_is_not_seen() -> None:
    frame = rows(REGRESSION, 5_000, 10, base=3.0)
    assert truth(REGRESSION, frame)["mae"] > 2.5 * REFERENCES[REGRESSION].quality["mae"].value
    assert estimates(REGRESSION, frame)["mae"] == pytest.approx(REFERENCES[REGRESSION].quality["mae"].value, rel=0.1)


def test_an_estimate_that_the_usual_value_beats_is_shown_and_not_judged() -> None:
    # Given a reference in which what goes with large errors turns round every few days
    frame = rows(REGRESSION, DAYS * A_DAY, 11)
    sign = np.where((np.arange(len(frame)) // (A_DAY * 4)) % 2, 1.0, -1.0)
    level = np.repeat(np.random.default_rng(0).normal(0, 1.5, DAYS), A_DAY)
    frame["x"] = level + 0.1 * frame["x"]
    frame["prediction"] = frame["x"]
    frame["label"] = frame["prediction"] + np.exp(sign * level) * np.random.default_rng(1).normal(size=len(frame))
    made = reference(REGRESSION, frame)
    test = made.estimation.backtests["mae"]
    assert test.off > 1.25 * test.usual_off
    # When
    high = np.random.default_rng(2).normal(2.5, 0.1, 400)
    shifted = frame.iloc[:400].assign(x=high, prediction=high)
    (finding,) = [one for one in window(REGRESSION, shifted, made=made) if one.metric == "mae"]
    # Then
    assert finding.value is not None
    assert finding.verdict is Verdict.UNCALIBRATED
    assert not finding.flagged
    assert "not judged" in (finding.detail or "")


def test_few_rows_and_broken_predictions_are_no_estimate() -> None:
    few = window(REGRESSION, rows(REGRESSION, 30, 12))
    assert {finding.verdict for finding in few} == {Verdict.INSUFFICIENT_DATA}
    broken = window(REGRESSION, rows(REGRESSION, 400, 12).assign(prediction=np.nan))
    assert {finding.verdict for finding in broken} == {Verdict.NO_DATA}
    outside = window(BINARY, rows(BINARY, 400, 12).assign(score=lambda f: f["score"] * 40))
    assert {finding.verdict for finding in outside} == {Verdict.NO_DATA}


def test_several_versions_are_estimated_together_and_each() -> None:
    made = REFERENCES[REGRESSION]
    frames = {v: rows(REGRESSION, 300, seed).drop(columns="label") for v, seed in (("7", 1), ("8", 2))}
    found = [
        finding
        for finding in evaluated(made, frames, Rules(task=REGRESSION)).findings
        if finding.signal is Signal.ESTIMATED_QUALITY and finding.metric == "mae"
    ]
    assert [(finding.version, finding.rows) for finding in found] == [(None, 600), ("7", 300), ("8", 300)]


def test_a_reference_with_later_labels_is_what_it_is_learned_from() -> None:
    # Given windows that are counted by a reference without labels, and the same one with them
    frame = rows(REGRESSION, DAYS * A_DAY, 1)
    unlabelled = reference(REGRESSION, frame.drop(columns="label"))
    day = rows(REGRESSION, 400, 13).drop(columns="label")
    given = drift_input(unlabelled, day, Rules(task=REGRESSION))
    from detectors.evaluation import evaluate_drift

    def estimated(labelled: bytes | None) -> list[Finding]:
        found = evaluate_drift(replace(given, labelled=labelled)).findings
        return [finding for finding in found if finding.signal is Signal.ESTIMATED_QUALITY]

    assert estimated(None) == []
    assert {finding.metric for finding in estimated(REFERENCES[REGRESSION].to_bytes())} == {"mae", "rmse"}


# References that teach nothing


@pytest.mark.parametrize(
    ("task", "change", "reason"),
    [
        (REGRESSION, lambda f: f.drop(columns="label"), "the reference has no labels to learn from"),
        (REGRESSION, lambda f: f.assign(label=3.0), "every label is the same in the reference"),
        (REGRESSION, lambda f: f.assign(label=f["prediction"]), "every prediction is its label, so there is no error"),
        (REGRESSION, lambda f: f.assign(label=f["label"] * 1e200), "the errors are too large to be squared"),
        (REGRESSION, lambda f: f.assign(label=f["label"].where(f.index < 99)), "99 labelled rows that can be used"),
        (BINARY, lambda f: f.assign(label=1.0), "every label is of one class in the reference"),
        (BINARY, lambda f: f.assign(score=f["score"] * 40), "so they are no probabilities"),
        (BINARY, lambda f: f.drop(columns="score"), "no scores between 0 and 1 were logged"),
        (MULTICLASS, lambda f: f.assign(label="cat"), "every label is of one class in the reference"),
        (MULTICLASS, lambda f: f.drop(columns="scores"), "no scores between 0 and 1 were logged"),
        ("none", lambda f: f, "quality is not estimated for the task none"),
    ],
)
def test_a_reference_that_teaches_nothing_says_why(task: str, change: object, reason: str) -> None:
    frame = change(rows(REGRESSION if task == "none" else task, 1_000, 14))  # type: ignore[operator]
    made = reference(task, frame)
    assert reason in (made.estimation.reason or "")
    assert Estimator.of(made, Terms(task, classes=made.classes)) is None
    if task != MULTICLASS:
        assert window(task, frame.iloc[:300], made=made) == []


def test_odd_features_of_a_window_do_not_stop_it() -> None:
    frame = rows(REGRESSION, 400, 15)
    for odd in (
        frame.assign(x=np.inf),
        frame.assign(x=1e308),
        frame.assign(x=None, kind=None),
        frame.assign(kind="never before"),
        frame.assign(prediction=-1e300),
    ):
        assert not [one for one in window(REGRESSION, odd) if one.verdict is Verdict.ERROR]


# Curves


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_a_curve_never_falls_keeps_to_its_targets_and_their_mean(pairs: list[tuple[float, bool]]) -> None:
    values, targets = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    curve = Curve.fitted(values, targets)
    fitted = curve(values)
    assert np.all(np.diff(fitted[np.argsort(values, kind="stable")]) >= -1e-12)
    assert fitted.min() >= targets.min() - 1e-12
    assert fitted.max() <= targets.max() + 1e-12
    assert fitted.mean() == pytest.approx(targets.mean(), abs=1e-9)
    assert len(curve.x) <= MOST_KNOTS


def test_a_curve_agrees_with_scikit_learns() -> None:
    from sklearn.isotonic import IsotonicRegression

    random = np.random.default_rng(0)
    values = random.random(2_000).round(3)
    targets = (random.random(2_000) < values**2).astype(float)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(values, targets)
    at = np.linspace(-0.1, 1.1, 500)
    assert np.allclose(Curve.fitted(values, targets)(at), theirs.predict(at), atol=1e-9)


def test_days_of_a_reference_are_each_estimated_by_the_others() -> None:
    # Given a day of its own kind among the reference's days
    frame = rows(REGRESSION, DAYS * A_DAY, 16)
    odd = slice(8 * A_DAY, 9 * A_DAY)
    frame.loc[frame.index[odd], "label"] = frame["prediction"].to_numpy()[odd] + 50
    made = reference(REGRESSION, frame)
    # Then its estimate does not know it
    estimated = made.estimation.floors["mae"].windows[8]
    assert made.quality["mae"].windows[8] == pytest.approx(50)
    assert estimated < 25
