"""Multiclass quality: equal to scikit-learn's on the same rows, honest about what was logged wrongly."""

from __future__ import annotations

import functools
import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn import metrics

from detectors.columns import ColumnType, Role
from detectors.errors import UnusableColumn
from detectors.evaluation import EvaluationResult, QualityInput, evaluate_quality
from detectors.findings import Finding, Signal, Verdict
from detectors.quality import METRICS, Logged, ReadRows, measure
from detectors.quality.classes import ClassRows, class_rows
from detectors.quality.rows import MULTICLASS
from detectors.reference import Reference
from detectors.rules import QualityLimit, Rules
from tests.unit.detectors.windows import DAY, START, day_times, made_reference

CLASSES = ("cat", "dog", "emu", "fox")
DAYS, ROWS = 20, 300


def animals(rows: int, seed: int, sharpness: float = 3.0, decimals: int = 16) -> pd.DataFrame:
    """Rows of a model whose probabilities are true ones; with less sharpness it knows less."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, len(CLASSES))) * sharpness + np.array([1.0, 0.5, 0.0, -1.0])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = [CLASSES[random.choice(len(CLASSES), p=share)] for share in shares]
    shares = shares.round(decimals)
    return pd.DataFrame(
        {
            "prediction": np.array(CLASSES, dtype=object)[shares.argmax(axis=1)],
            "scores": [json.dumps(dict(zip(CLASSES, share.tolist(), strict=True))) for share in shares],
            "place": random.choice(["zoo", "farm"], rows),
            "label": np.array(labels, dtype=object),
        }
    )


def logged(frame: pd.DataFrame) -> Logged:
    columns = {name: frame[name].to_numpy(dtype=object) for name in ("label", "prediction", "scores")}
    return Logged(columns["label"], columns["prediction"], None, columns["scores"])


def read(found: ReadRows) -> ClassRows:
    assert isinstance(found.rows, ClassRows)
    return found.rows


@pytest.mark.parametrize("frame", [animals(5_000, 1), animals(2_000, 2, decimals=4), animals(40, 3)], ids=len)
def test_it_equals_scikit_learn(frame: pd.DataFrame) -> None:
    # Given the same rows
    rows = read(class_rows(logged(frame), CLASSES))
    truth, given, score = rows.labels, rows.predictions, rows.scores
    assert score is not None
    codes = range(len(CLASSES))
    clipped = score / score.sum(axis=1, keepdims=True) if not np.allclose(score.sum(axis=1), 1, atol=1e-8) else score
    # Then
    values = {name: measured.value for name, measured in measure(MULTICLASS, rows).items()}
    top, right = score.max(axis=1), (score.argmax(axis=1) == truth).astype(float)
    bins = np.searchsorted(np.linspace(0, 1, 11)[1:-1], top)
    gap = sum(abs(float((right - top)[bins == b].sum())) for b in range(10)) / len(truth)
    assert values == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, given),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, given),
            "precision": metrics.precision_score(truth, given, average="macro", zero_division=0),
            "recall": metrics.recall_score(truth, given, average="macro", zero_division=0),
            "f1": metrics.f1_score(truth, given, average="macro", zero_division=0),
            "log_loss": float(np.mean(-np.log(np.clip(score[np.arange(len(truth)), truth], 2.2e-16, 1)))),
            "roc_auc": float(np.mean([metrics.roc_auc_score(truth == c, score[:, c]) for c in np.unique(truth)])),
            "brier": float(np.mean(np.sum((score - np.eye(len(CLASSES))[truth]) ** 2, axis=1))),
            "calibration_error": gap,
        },
        abs=1e-9,
    )
    if clipped is score:
        assert values["log_loss"] == pytest.approx(metrics.log_loss(truth, score, labels=codes), abs=1e-9)
        assert values["brier"] == pytest.approx(metrics.brier_score_loss(truth, score, labels=codes), abs=1e-9)
        if len(np.unique(truth)) == len(CLASSES):
            area = metrics.roc_auc_score(truth, score, multi_class="ovr", average="macro", labels=codes)
            assert values["roc_auc"] == pytest.approx(area, abs=1e-9)


@pytest.mark.parametrize("name", [m.name for m in METRICS if m.task == MULTICLASS and m.name != "calibration_error"])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(name: str) -> None:
    metric = METRICS[f"multiclass.{name}"]
    rows = read(class_rows(logged(animals(20_000, 4)), CLASSES))
    truth = metric.measure(rows).value
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(150):
        measured = metric.measure(rows.take(random.integers(0, len(rows), 600)))
        covered += measured.low <= truth <= measured.high
    assert covered / 150 > 0.88


def test_a_macro_mean_says_so_and_names_the_lowest_class() -> None:
    rows = read(class_rows(logged(animals(2_000, 1)), CLASSES))
    detail = METRICS["multiclass.f1"].measure(rows).detail
    assert detail is not None
    assert detail.startswith("macro mean of 4 classes, lowest 'fox' with 0.")


def test_numbers_and_texts_are_the_same_classes() -> None:
    found = class_rows(Logged(np.array(["1", "2", "3"], object), np.array([1.0, 2.0, 2.0])), ("1", "2", "3"))
    assert METRICS["multiclass.accuracy"].measure(found.rows).value == pytest.approx(2 / 3)


def test_a_label_of_an_unknown_class_is_a_flaw_and_the_rest_goes_on() -> None:
    # Given two labels of a class that neither the reference nor the scores have, one missing, and an unseen prediction
    frame = animals(100, 1)
    frame.loc[[0, 1], "label"] = "gnu"
    frame.loc[2, "label"] = None
    frame.loc[3, "prediction"] = "cow"
    found = class_rows(logged(frame), CLASSES)
    # Then
    unknown, scores = found.flaws
    assert (unknown.metric, unknown.column, unknown.rows, unknown.of) == ("unknown_labels", "label", 2, 99)
    assert unknown.detail == "2 of 99 labels are of no class that the model has: 'gnu'"
    assert scores.rows == 0
    assert len(found.rows) == 97
    # and a prediction of an unknown class is simply wrong
    expected = (frame["prediction"] == frame["label"])[3:].mean()
    assert METRICS["multiclass.accuracy"].measure(found.rows).value == pytest.approx(expected)
    assert math.isfinite(METRICS["multiclass.log_loss"].measure(found.rows).value)


@pytest.mark.parametrize(
    ("scores", "detail"),
    [
        ('{"cat": 1.5, "dog": -0.5}', "1 of 200 scores lie outside 0..1"),
        ('{"cat": 0.5, "dog": 0.4}', "1 of 200 scores do not sum to one"),
        ('{"cat": "much"}', "1 of 200 scores are no numbers"),
        ("[1, 2]", "1 of 200 scores are no numbers"),
        ("{}", "1 of 200 scores are no numbers"),
    ],
)
def test_one_bad_score_leaves_one_row_out(scores: str, detail: str) -> None:
    frame = animals(200, 1)
    frame.loc[7, "scores"] = scores
    found = class_rows(logged(frame), CLASSES)
    assert found.flaws[1].detail == detail
    assert METRICS["multiclass.log_loss"].measure(found.rows).rows == 199
    assert METRICS["multiclass.accuracy"].measure(found.rows).rows == 200


@pytest.mark.parametrize("off", [0.0009, -0.0009])
def test_scores_may_be_rounded(off: float) -> None:
    texts = np.array([json.dumps({"cat": 0.5 + off, "dog": 0.5})], dtype=object)
    found = class_rows(Logged(np.array(["cat"], object), np.array(["cat"], object), None, texts), CLASSES)
    assert found.flaws[1].rows == 0


def test_many_bad_scores_are_used_by_no_metric() -> None:
    frame = animals(200, 1)
    frame["scores"] = [json.dumps(dict.fromkeys(CLASSES, 3.0))] * 200
    found = class_rows(logged(frame), CLASSES)
    measured = measure(MULTICLASS, found.rows)
    assert measured["log_loss"].detail == "200 of 200 scores lie outside 0..1, so they are no probabilities"
    assert math.isfinite(measured["f1"].value)


def test_a_class_that_only_the_scores_name_is_known() -> None:
    texts = np.array([json.dumps({"cat": 0.25, "gnu": 0.75})] * 2, dtype=object)
    found = class_rows(Logged(np.array(["gnu", "cat"], object), np.array(["gnu"] * 2, object), None, texts), ("cat",))
    assert found.flaws[0].rows == 0
    assert METRICS["multiclass.brier"].measure(found.rows).value == pytest.approx((0.125 + 1.125) / 2)


# The whole evaluation


@functools.cache
def reference() -> Reference:
    frame = animals(DAYS * ROWS, 9)
    return made_reference(
        frame.drop(columns="scores").assign(_scores=frame["scores"]),
        event_time=day_times(len(frame), DAYS),
        roles={"prediction": Role.PREDICTION},
        label="label",
        scores="_scores",
        segment_by=[("place",)],
        task=MULTICLASS,
    )


def judged(frame: pd.DataFrame, **rules: object) -> EvaluationResult:
    table = pa.table(
        {
            "version": pa.array(["1"] * len(frame)),
            "prediction": pa.array(frame["prediction"]),
            "scores": pa.array(frame["scores"], pa.string()),
            "label": pa.array(frame["label"]),
            "seg": pa.array([json.dumps({"place": place}) for place in frame["place"]]),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return evaluate_quality(
        QualityInput(
            START,
            START + DAY,
            reference().to_bytes(),
            Rules(task=MULTICLASS, **rules),  # type: ignore[arg-type]
            sink.getvalue().to_pybytes(),
            len(frame),
            len(frame),
        )
    )


def finding(result: EvaluationResult, metric: str, segment: dict[str, str] | None = None) -> Finding:
    (one,) = [found for found in result.findings if found.metric == metric and found.segment == segment]
    return one


def test_an_ordinary_window_has_every_metric_beside_its_usual_value() -> None:
    result = judged(animals(ROWS, 1))
    whole = [found for found in result.findings if found.segment is None]
    assert {found.metric for found in whole} == {
        *(m.name for m in METRICS if m.task == MULTICLASS), "unknown_labels", "invalid_scores",
    }  # fmt: skip
    assert {found.verdict for found in whole} == {Verdict.OK}
    for metric in ("accuracy", "f1", "log_loss", "roc_auc"):
        found = finding(result, metric)
        assert found.usual is not None
        assert found.noise_floor is not None
        assert found.p_value is not None


def test_a_window_of_a_model_that_guesses_is_degraded() -> None:
    # Given rows whose labels have little to do with the predictions
    frame = animals(ROWS, 1)
    frame["label"] = frame["label"].sample(frac=1, random_state=0).to_numpy()
    # When
    result = judged(
        frame, quality={"f1": QualityLimit(minimum=0.5), "log_loss": QualityLimit(worse_than_reference=0.2)}
    )
    # Then
    assert finding(result, "f1").verdict is Verdict.DEGRADED
    assert finding(result, "log_loss").verdict is Verdict.DEGRADED
    assert finding(result, "f1", {"place": "zoo"}).verdict is Verdict.INSUFFICIENT_DATA


def test_what_was_logged_wrongly_is_violated_at_once() -> None:
    # Given 2 % of the labels of a class that nobody knows, and scores that sum to something else
    frame = animals(ROWS, 1)
    frame.loc[:5, "label"] = "gnu"
    frame["scores"] = frame["scores"].str.replace('"cat": 0', '"cat": 1')
    # When
    result = judged(frame)
    # Then each is a finding of its column
    for metric, column in (("unknown_labels", "label"), ("invalid_scores", "scores")):
        found = finding(result, metric)
        assert (found.signal, found.column, found.verdict) == (Signal.DATA_QUALITY, column, Verdict.VIOLATED)
        assert found.immediate
    assert finding(result, "log_loss").verdict is Verdict.NO_DATA
    # and the rest goes on
    assert finding(result, "accuracy").verdict is Verdict.OK
    assert finding(result, "accuracy").rows == ROWS - 6


def test_a_reference_keeps_its_classes() -> None:
    again = Reference.from_bytes(reference().to_bytes())
    assert again.classes == CLASSES
    assert again.quality["log_loss"].windows


def test_classes_that_are_numbers_are_no_numeric_column() -> None:
    frame = pd.DataFrame({"prediction": [1, 2, 3] * 50, "label": [1, 2, 2] * 50})
    made = made_reference(frame, event_time=None, roles={"prediction": Role.PREDICTION}, label="label", task=MULTICLASS)
    assert made.columns[0].type is ColumnType.CATEGORICAL
    assert made.classes == ("1", "2", "3")


def test_a_prediction_of_thousands_of_values_is_no_class() -> None:
    frame = pd.DataFrame({"prediction": [f"k{i}" for i in range(2_000)]})
    with pytest.raises(UnusableColumn, match="2000 classes, and 1000 are the limit"):
        made_reference(frame, event_time=None, roles={"prediction": Role.PREDICTION}, task=MULTICLASS)
