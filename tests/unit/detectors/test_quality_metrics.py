"""Quality metrics equal scikit-learn's on the same rows, and their intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from detectors.quality import METRICS, JudgedRows, Logged, ReadRows, measure
from detectors.quality.rows import BINARY, REGRESSION, binary_rows, regression_rows
from tests.unit.detectors.flights import month


def delays() -> JudgedRows:
    frame = month(2).head(20_000)
    return read(regression_rows(Logged(frame["arr_delay"].to_numpy(), frame["dep_delay"].to_numpy())))


def read(found: ReadRows) -> JudgedRows:
    assert isinstance(found.rows, JudgedRows)
    return found.rows


def scored(rows: int = 5_000, seed: int = 3, decimals: int = 16) -> JudgedRows:
    generator = np.random.default_rng(seed)
    truth = (generator.random(rows) < 0.3).astype(float)
    score = np.clip(generator.beta(2, 3, rows) * 0.6 + truth * 0.3, 0, 1).round(decimals)
    return JudgedRows((score >= 0.5).astype(float), truth, score)


def test_regression_equals_scikit_learn_on_real_flights() -> None:
    rows = delays()
    values = {name: measured.value for name, measured in measure(REGRESSION, rows).items()}
    nonzero = rows.labels != 0
    expected = {
        "mae": metrics.mean_absolute_error(rows.labels, rows.predictions),
        "rmse": metrics.root_mean_squared_error(rows.labels, rows.predictions),
        "mape": metrics.mean_absolute_percentage_error(rows.labels[nonzero], rows.predictions[nonzero]),
        "r2": metrics.r2_score(rows.labels, rows.predictions),
        "bias": float(np.mean(rows.predictions - rows.labels)),
    }
    assert values == pytest.approx(expected, abs=1e-9, rel=1e-9)


@pytest.mark.parametrize("rows", [scored(), scored(decimals=1), scored(40, 8), scored(6, 1)], ids=len)
def test_classification_equals_scikit_learn(rows: JudgedRows) -> None:
    truth, given, score = rows.labels, rows.predictions, rows.scores
    values = {name: measured.value for name, measured in measure(BINARY, rows).items()}
    share, mean = calibration_curve(truth, score, n_bins=10)
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], score), minlength=10)
    assert values == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, given),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, given),
            "precision": metrics.precision_score(truth, given, zero_division=np.nan),
            "recall": metrics.recall_score(truth, given),
            "f1": metrics.f1_score(truth, given, zero_division=np.nan),
            "roc_auc": metrics.roc_auc_score(truth, score),
            "average_precision": metrics.average_precision_score(truth, score),
            "log_loss": metrics.log_loss(truth, score, labels=[0, 1]),
            "brier": metrics.brier_score_loss(truth, score),
            "calibration_error": float(np.sum(counts[counts > 0] * np.abs(share - mean)) / len(truth)),
        },
        abs=1e-9,
        nan_ok=True,
    )


def test_a_score_of_exactly_nothing_or_one_costs_what_scikit_learn_says() -> None:
    rows = JudgedRows(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0]))
    assert METRICS["binary_classification.log_loss"].measure(rows).value == pytest.approx(
        metrics.log_loss(rows.labels, rows.scores), abs=1e-9
    )


def test_labels_of_zero_do_not_blow_up_the_percentage_error() -> None:
    rows = JudgedRows(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0]))
    measured = METRICS["regression.mape"].measure(rows)
    assert measured.value == pytest.approx(0.75)
    assert measured.detail == "1 of 3 rows left out: their label is 0"
    none = METRICS["regression.mape"].measure(JudgedRows(np.ones(2), np.zeros(2)))
    assert math.isnan(none.value)
    assert none.detail == "every label is 0, and no error is a share of 0"


@pytest.mark.parametrize(
    "metric",
    [
        f"{m.task}.{m.name}"
        for m in METRICS
        if m.task in (REGRESSION, BINARY) and m.name not in ("calibration_error", "average_precision")
    ],
)
def test_the_interval_covers_the_truth_about_as_often_as_it_says(metric: str) -> None:
    chosen = METRICS[metric]
    rows = delays() if chosen.task == REGRESSION else scored(40_000)
    truth = chosen.measure(rows).value
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        measured = chosen.measure(rows.take(generator.integers(0, len(rows), 800)))
        covered += measured.low <= truth <= measured.high
    assert covered / 200 > 0.88


def test_rows_without_label_or_prediction_are_left_out() -> None:
    found = regression_rows(Logged(np.array([1.0, 2.0, np.nan, 4.0]), np.array([1.0, np.nan, 3.0, np.inf])))
    assert found.places.tolist() == [0]
    assert len(found.rows) == 1


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (np.array([1, 0, 1]), "1"),
        (np.array([1.0, 0.0, 1.0]), "1"),
        (np.array([True, False, True]), "1"),
        (np.array(["true", "false", "true"], dtype=object), "1"),
        (np.array(["yes", "no", "yes"], dtype=object), "yes"),
        (np.array([True, False, True], dtype=object), "true"),
    ],
)
def test_the_positive_label_is_found_in_any_type(labels: np.ndarray, positive: str) -> None:
    rows = read(binary_rows(Logged(labels, labels), positive))
    assert rows.labels.tolist() == [1.0, 0.0, 1.0]
    assert METRICS["binary_classification.accuracy"].measure(rows).value == 1.0


def test_probabilities_logged_as_predictions_are_scores() -> None:
    rows = read(binary_rows(Logged(np.array([0.0, 1.0, 0.0]), np.array([0.1, 0.9, 0.7]))))
    assert rows.predictions.tolist() == [0.0, 1.0, 1.0]
    assert rows.scores is not None


def test_margins_are_no_probabilities() -> None:
    # Given scores of which half lie outside 0..1
    found = binary_rows(Logged(np.array([0, 1]), np.array([0, 1]), np.array([-3.0, 1.0])))
    # Then no metric uses them, and they are a flaw of their column
    assert read(found).scores is None
    detail = METRICS["binary_classification.log_loss"].measure(found.rows).detail
    assert detail == "1 of 2 scores lie outside 0..1, so they are no probabilities"
    (flaw,) = found.flaws
    assert (flaw.metric, flaw.column, flaw.rows, flaw.of) == ("invalid_scores", "score", 1, 2)
    # and the rest goes on
    assert METRICS["binary_classification.accuracy"].measure(found.rows).value == 1.0


def test_a_few_impossible_scores_are_left_out_and_counted() -> None:
    # Given one impossible and one missing score among 1,000
    rows = scored(1_000)
    assert rows.scores is not None
    scores = rows.scores.copy()
    scores[3], scores[4] = 1.5, np.nan
    found = binary_rows(Logged(rows.labels, rows.predictions, scores))
    # Then the metrics that need scores go without those two, the others do not
    measured = measure(BINARY, found.rows)
    known = np.delete(np.arange(1_000), [3, 4])
    assert measured["brier"].value == pytest.approx(float(np.mean((scores[known] - rows.labels[known]) ** 2)), abs=1e-9)
    assert measured["brier"].detail == "2 of 1000 rows left out: they have no usable score"
    assert measured["accuracy"].rows == 1_000
    assert found.flaws[0].detail == "1 of 999 scores lie outside 0..1"


def test_without_scores_their_metrics_say_so() -> None:
    found = binary_rows(Logged(np.array([0, 1]), np.array([0, 1])))
    assert METRICS["binary_classification.log_loss"].measure(found.rows).detail == (
        "no scores between 0 and 1 were logged"
    )
    assert found.flaws == ()
