"""A model's own Evidently suite, with Evidently itself beside it on the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import evidently
import numpy as np
import pandas as pd
import pytest
from evidently import metrics, presets, tests

from detectors.columns import Column, ColumnType, Role
from detectors.findings import FIRING, Finding, Signal, Verdict
from detectors.quality.rows import Logged
from detectors.rules import Rules, SuiteEntry
from detectors.suite import evaluation
from detectors.suite.entries import entry_name, failed_suite
from detectors.suite.evaluation import joined_suite, sampled_suite

NUMERIC, CATEGORICAL = ["age", "fare", "score"], ["city"]
COLUMNS = (
    Column("age", ColumnType.NUMERIC, Role.FEATURE, "numbers"),
    Column("fare", ColumnType.NUMERIC, Role.FEATURE, "numbers"),
    Column("city", ColumnType.CATEGORICAL, Role.FEATURE, "text"),
    Column("ticket", ColumnType.CATEGORICAL, Role.FEATURE, "text", id_like=True),
    Column("score", ColumnType.NUMERIC, Role.SCORE, "numbers"),
)


def passengers(n: int, *, seed: int, shift: float = 0.0, missing: int = 0) -> pd.DataFrame:
    source = np.random.default_rng(seed)
    age = source.normal(40 + shift, 10, n)
    age[:missing] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "fare": source.gamma(2, 20, n),
            "city": source.choice(["Oslo", "Bergen", "Vadsø"], n, p=[0.6, 0.3, 0.1]).astype(object),
            "score": source.uniform(0, 1, n),
        }
    )


REFERENCE = passengers(1_500, seed=1, missing=15)
WINDOW = passengers(400, seed=2, shift=8.0, missing=12)


def suite(*entries: SuiteEntry, window: pd.DataFrame | None = WINDOW, rows: int | None = None) -> list[Finding]:
    count = rows if rows is not None else 0 if window is None else len(window)
    return sampled_suite(Rules(suite=entries), REFERENCE, window, COLUMNS, count)


def entry(name: str, *, default: bool = False, labelled: bool = False, **parameters: Any) -> SuiteEntry:
    return SuiteEntry(name, parameters, hasattr(presets, name), default, labelled)


def by_name(findings: list[Finding]) -> dict[tuple[str, str | None], Finding]:
    found = {(finding.metric, finding.column): finding for finding in findings}
    assert len(found) == len(findings)
    return found


def snapshot(item: Any, *, include_tests: bool = False) -> dict[str, Any]:
    """What Evidently says when it is run as its own pages show."""
    definition = evidently.DataDefinition(numerical_columns=NUMERIC, categorical_columns=CATEGORICAL)
    report = evidently.Report([item], include_tests=include_tests)
    datasets = [evidently.Dataset.from_pandas(frame, data_definition=definition) for frame in (WINDOW, REFERENCE)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said: dict[str, Any] = report.run(*datasets).dict()
    return said


def theirs(said: Mapping[str, Any], prefix: str, *, under_preset: bool) -> dict[tuple[str, str | None], float]:
    """The values of a snapshot under the names that driftd gives them."""
    values: dict[tuple[str, str | None], float] = {}
    for metric in said["metrics"]:
        config, value = metric["config"], metric["value"]
        kind = config["type"].rpartition(":")[2]
        quantile = f"(quantile={config['quantile']:g})" if "quantile" in config else ""
        if quantile == "(quantile=0.5)" and under_preset:
            quantile = ""
        named = f"{prefix}.{kind}{quantile}" if under_preset else prefix
        column = config.get("column")
        if not isinstance(value, dict):
            values[named, column] = value
        elif set(value) == {"count", "share"}:
            values[named, column] = value["count"]
            values[f"{named}.share", column] = value["share"]
        else:
            for label, count in value["counts"].items():
                values[f"{named}[{label}]", column] = count
                values[f"{named}[{label}].share", column] = value["shares"][label]
    return values


MADE: list[tuple[SuiteEntry, Callable[[], Any]]] = [
    (entry("DataDriftPreset"), presets.DataDriftPreset),
    (
        entry("DataDriftPreset", num_method="ks", columns=["age", "city"]),
        lambda: presets.DataDriftPreset(num_method="ks", columns=["age", "city"]),
    ),
    (entry("ValueStats", column="city"), lambda: presets.ValueStats(column="city")),
    (entry("ValueStats", column="age"), lambda: presets.ValueStats(column="age")),
    (entry("MissingValueCount", column="age"), lambda: metrics.MissingValueCount(column="age")),
    (entry("DriftedColumnsCount"), metrics.DriftedColumnsCount),
    (entry("QuantileValue", column="fare", quantile=0.9), lambda: metrics.QuantileValue(column="fare", quantile=0.9)),
    (
        entry("InRangeValueCount", column="age", left=18, right=65),
        lambda: metrics.InRangeValueCount(column="age", left=18, right=65),
    ),
    (
        entry("CategoryCount", column="city", category="Oslo"),
        lambda: metrics.CategoryCount(column="city", category="Oslo"),
    ),
    (entry("ValueDrift", column="fare", method="psi"), lambda: metrics.ValueDrift(column="fare", method="psi")),
    (entry("RowCount"), metrics.RowCount),
]


@pytest.mark.parametrize(("asked", "made"), MADE, ids=[entry_name(asked) for asked, _ in MADE])
def test_values_are_evidentlys(asked: SuiteEntry, made: Callable[[], Any]) -> None:
    found = by_name(suite(asked))
    expected = theirs(snapshot(made()), entry_name(asked), under_preset=asked.is_preset)
    if asked.name == "ValueStats":
        # The column of the preset stands for its count of rows too.
        expected = {(name, asked.parameters["column"]): value for (name, _), value in expected.items()}
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].value == pytest.approx(value, rel=1e-12, abs=1e-12), key
    assert {finding.verdict for finding in found.values()} == {Verdict.OK}
    assert not any(finding.flagged for finding in found.values())


def test_a_summary_has_every_value_of_evidentlys() -> None:
    found = by_name(suite(entry("DataSummaryPreset")))
    expected = theirs(snapshot(presets.DataSummaryPreset()), "evidently.DataSummaryPreset", under_preset=True)
    values = {name.partition("(")[0]: finding.value for (name, column), finding in found.items() if column == "age"}
    assert values["evidently.DataSummaryPreset.MeanValue"] == pytest.approx(WINDOW["age"].mean())
    assert {name for name, _ in expected} <= {name for name, _ in found} | {"evidently.DataSummaryPreset.ColumnCount"}
    assert found["evidently.DataSummaryPreset.DuplicatedRowCount", None].value == 0.0


def test_the_tests_of_a_preset_are_evidentlys_where_they_do_not_count_rows() -> None:
    asked = presets.DataDriftPreset()
    verdicts = {
        (test["metric_config"]["params"].get("column"), test["status"])
        for test in snapshot(asked, include_tests=True)["tests"]
    }
    found = suite(entry("DataDriftPreset", default=True))
    mine = {
        (finding.column, "FAIL" if finding.flagged else "SUCCESS") for finding in found if finding.threshold is not None
    }
    assert mine == {(column, getattr(status, "value", status)) for column, status in verdicts}
    assert ("age", "FAIL") in mine


def test_a_default_test_that_would_compare_two_numbers_of_rows_is_left_out() -> None:
    found = by_name(suite(entry("DataSummaryPreset", default=True)))
    assert found["evidently.DataSummaryPreset.RowCount", None].verdict is Verdict.OK
    assert found["evidently.DataSummaryPreset.RowCount", None].threshold is None
    assert found["evidently.DataSummaryPreset.MissingValueCount", "age"].threshold is None
    share = found["evidently.DataSummaryPreset.MissingValueCount.share", "age"]
    assert share.verdict is Verdict.VIOLATED
    assert share.usual == pytest.approx(0.01)


LIMITS: list[tuple[SuiteEntry, str, bool, float | None]] = [
    (entry("MissingValueCount", column="age", tests={"lte": 5}), "evidently.MissingValueCount", True, 5.0),
    (entry("MissingValueCount", column="age", tests={"lte": 12}), "evidently.MissingValueCount", False, 12.0),
    (
        entry("MissingValueCount", column="age", share_tests={"lt": 0.03}),
        "evidently.MissingValueCount.share",
        True,
        0.03,
    ),
    (entry("MeanValue", column="age", tests={"gt": 10, "lt": 45}), "evidently.MeanValue", True, 45.0),
    (
        entry("StdValue", column="age", tests={"eq": {"reference": {"relative": 0.5}}}),
        "evidently.StdValue",
        False,
        None,
    ),
    (
        entry("UniqueValueCount", column="city", share_tests={"Oslo": {"gte": 0.9}}),
        "evidently.UniqueValueCount[Oslo].share",
        True,
        0.9,
    ),
    (
        entry("UniqueValueCount", column="city", tests={"Rome": {"gte": 1}}),
        "evidently.UniqueValueCount[Rome]",
        True,
        1.0,
    ),
    (entry("RowCount", tests={"is_in": [400, 500]}), "evidently.RowCount", False, None),
    (entry("RowCount", tests={"not_in": [400, 500]}), "evidently.RowCount", True, None),
    (entry("RowCount", tests={"not_eq": 400}), "evidently.RowCount", True, 400.0),
]


@pytest.mark.parametrize(("asked", "metric", "fails", "limit"), LIMITS, ids=[f"{e[1]}-{e[2]}" for e in LIMITS])
def test_a_limit(asked: SuiteEntry, metric: str, fails: bool, limit: float | None) -> None:
    (finding,) = [one for one in suite(asked) if one.metric == metric]
    assert (finding.verdict is Verdict.VIOLATED) is fails
    assert finding.flagged is fails
    assert not finding.immediate
    assert finding.signal is Signal.DATA_QUALITY
    if limit is not None:
        assert finding.threshold == limit
    assert "must be" in (finding.detail or "")


def test_a_limit_around_the_reference_is_evidentlys() -> None:
    for test in ("lt", "lte", "gt", "gte", "eq", "not_eq"):
        for relative in (0.01, 0.1, 0.25):
            asked = entry("MeanValue", column="age", tests={test: {"reference": {"relative": relative}}})
            limit = getattr(tests, test)(tests.Reference(relative=relative))
            (said,) = snapshot(metrics.MeanValue(column="age", tests=[limit]))["tests"]
            (finding,) = suite(asked)
            assert finding.flagged is (said["status"] == "FAIL"), (test, relative)
            # and the limit that is shown is the one that decides
            assert finding.value is not None
            assert finding.threshold is not None
            if test in ("lt", "lte", "gt", "gte"):
                beyond = finding.value > finding.threshold if test[0] == "l" else finding.value < finding.threshold
                assert beyond is finding.flagged, (test, relative)


def test_signals_follow_what_a_metric_is_about() -> None:
    found = suite(entry("DataDriftPreset", default=True), entry("MeanValue", column="score"))
    signals = {(finding.metric.rpartition(".")[2], finding.column): finding.signal for finding in found}
    assert signals["ValueDrift", "age"] is Signal.FEATURE_DRIFT
    assert signals["ValueDrift", "score"] is Signal.PREDICTION_DRIFT
    assert signals["share", None] is Signal.FEATURE_DRIFT
    assert signals["MeanValue", "score"] is Signal.DATA_QUALITY
    (age,) = [finding for finding in found if finding.column == "age"]
    assert age.verdict is Verdict.DRIFT
    assert age.detail == "must be without drift at 0.1; by Wasserstein distance (normed); 400 rows"


def test_an_error_is_the_findings_of_its_metric_alone() -> None:
    found = suite(
        entry("MeanValue", column="city"),
        entry("QuantileValue", column="age", quantile=7.0),
        entry("CategoryCount", column="city"),
        entry("DriftedColumnsCount", share_tests={"lt": {"reference": {"relative": 0.1}}}),
        entry("MinValue", column="agee"),
        entry("MinValue", column="ticket"),
        entry("MaxValue", column="age"),
    )
    *errors, fine = found
    assert [finding.verdict for finding in errors] == [Verdict.ERROR] * 6
    details = [finding.detail or "" for finding in errors]
    assert "category" in details[2]
    assert "no value of the reference" in details[3]
    assert details[4] == "there is no column 'agee': age, fare, city, score"
    assert details[5] == "the column 'ticket' is id-like: its values are not kept"
    assert fine.value == WINDOW["age"].max()


def test_a_column_without_values_takes_no_other_along() -> None:
    found = by_name(
        suite(entry("DataDriftPreset"), entry("MissingValueCount", column="fare"), window=WINDOW.assign(fare=np.inf))
    )
    count = found["evidently.DataDriftPreset.DriftedColumnsCount", None]
    assert count.value is not None
    assert "without fare (no usable value in the window)" in (count.detail or "")
    assert found["evidently.DataDriftPreset.ValueDrift", "age"].value is not None
    # an infinite number is a missing one
    assert found["evidently.MissingValueCount.share", "fare"].value == 1.0


def test_too_few_rows_and_no_rows_settle_every_entry() -> None:
    entries = entry("DataDriftPreset"), entry("MeanValue", column="age", tests={"lt": 1})
    few = suite(*entries, window=WINDOW.head(30))
    assert [(finding.metric, finding.verdict) for finding in few] == [
        ("evidently.DataDriftPreset", Verdict.INSUFFICIENT_DATA),
        ("evidently.MeanValue", Verdict.INSUFFICIENT_DATA),
    ]
    assert few[0].detail == "30 rows, 200 are needed"
    for gone in (None, WINDOW.head(0)):
        assert {finding.verdict for finding in suite(*entries, window=gone, rows=5_000)} == {Verdict.NO_DATA}
    assert {finding.verdict for finding in suite(*entries, window=WINDOW.head(0))} == {Verdict.INSUFFICIENT_DATA}


def test_a_sample_of_more_rows_says_so() -> None:
    (finding,) = suite(entry("MeanValue", column="age", tests={"lt": 1}), rows=9_000)
    assert finding.rows == 400
    assert (finding.detail or "").endswith("400 sampled of 9000 rows")


def test_what_is_beyond_the_limits_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    many = WINDOW.assign(city=[f"city {i % 50}" for i in range(len(WINDOW))])
    tested = {f"city {i}": {"gte": 1} for i in range(40, 45)}
    found = suite(entry("UniqueValueCount", column="city", tests=tested), window=many)
    *values, summary = found
    assert len(values) == evaluation.MOST_LABELS
    assert sum(finding.threshold is not None for finding in values) == 5
    assert "86 more values are not kept" in (summary.detail or "")
    monkeypatch.setattr(evaluation, "MOST_VALUES", 4)
    assert len(suite(entry("DataDriftPreset"))) == 5


def test_equal_rows_give_equal_findings_and_stay_as_they_were() -> None:
    before = WINDOW.copy(), REFERENCE.copy()
    asked = entry("DataDriftPreset", default=True), entry("ValueDrift", column="city", method="TVD")
    assert [finding.metric for finding in suite(*asked)] == [finding.metric for finding in suite(*asked)]
    assert suite(asked[1]) == suite(asked[1])
    pd.testing.assert_frame_equal(WINDOW, before[0])
    pd.testing.assert_frame_equal(REFERENCE, before[1])


def test_two_entries_of_one_metric_keep_apart() -> None:
    found = suite(entry("ValueDrift", column="age", method="psi"), entry("ValueDrift", column="age", method="ks"))
    assert [finding.metric for finding in found] == [
        "evidently.ValueDrift(method=psi)",
        "evidently.ValueDrift(method=ks)",
    ]


def classified(n: int, seed: int) -> tuple[Any, Any, Any]:
    source = np.random.default_rng(seed)
    score = source.uniform(0, 1, n)
    label = np.where(score + source.normal(0, 0.3, n) > 0.5, "fraud", "fine").astype(object)
    return label, np.where(score > 0.5, "fraud", "fine").astype(object), score


def test_a_classifiers_metrics_are_evidentlys() -> None:
    label, prediction, score = classified(600, seed=3)
    before = dict(zip(("_label", "prediction", "score"), classified(900, seed=4), strict=True))
    rules = Rules(
        task="binary_classification",
        positive_label="fraud",
        suite=(
            entry("ClassificationPreset", labelled=True, accuracy_tests={"gte": 0.99}),
            entry("F1ByLabel", labelled=True, tests={"fraud": {"gte": 0.5}, "other": {"gte": 0.5}}),
            entry("RocAuc", labelled=True),
        ),
    )
    found = by_name(joined_suite(rules, pd.DataFrame(before), Logged(label, prediction, score)))

    definition = evidently.DataDefinition(
        numerical_columns=["score"],
        categorical_columns=["label", "prediction"],
        classification=[
            evidently.BinaryClassification(
                target="label", prediction_labels="prediction", prediction_probas="score", pos_label="fraud"
            )
        ],
    )
    frames = [
        pd.DataFrame({"label": label, "prediction": prediction, "score": score}),
        pd.DataFrame(before).rename(columns={"_label": "label"}),
    ]
    datasets = [evidently.Dataset.from_pandas(frame, data_definition=definition) for frame in frames]
    said = evidently.Report([presets.ClassificationPreset()]).run(*datasets).dict()["metrics"]
    singles = {m["config"]["type"].rpartition(":")[2]: m["value"] for m in said if not isinstance(m["value"], dict)}
    assert len(singles) == 10
    for name, value in singles.items():
        assert found[f"evidently.ClassificationPreset.{name}", None].value == pytest.approx(value, rel=1e-12)
    accuracy = found["evidently.ClassificationPreset.Accuracy", None]
    assert (accuracy.signal, accuracy.verdict, accuracy.threshold) == (Signal.QUALITY, Verdict.DEGRADED, 0.99)
    assert found["evidently.F1ByLabel[fraud]", None].verdict is Verdict.OK
    # a label that does not occur can be tested by nothing
    assert found["evidently.F1ByLabel", None].verdict is Verdict.NO_DATA
    assert found["evidently.RocAuc", None].usual is not None


def test_a_regressions_metrics_are_its_errors() -> None:
    source = np.random.default_rng(5)
    label = source.normal(100, 10, 500)
    prediction = label + source.normal(2, 5, 500)
    label[:3] = np.nan
    rules = Rules(
        task="regression",
        suite=(entry("MAE", labelled=True, mean_tests={"lte": 1}), entry("RegressionPreset", labelled=True)),
    )
    found = by_name(joined_suite(rules, pd.DataFrame({"age": [1.0]}), Logged(label, prediction)))
    errors = (prediction - label)[3:]
    mae = found["evidently.MAE", None]
    assert mae.value == pytest.approx(np.abs(errors).mean())
    assert mae.verdict is Verdict.DEGRADED
    assert mae.rows == 497
    # the reference has no labels, so it has no value of its own
    assert mae.usual is None
    assert found["evidently.RegressionPreset.RMSE", None].value == pytest.approx(np.sqrt((errors**2).mean()))


def test_several_classes_are_judged_without_probabilities() -> None:
    source = np.random.default_rng(6)
    label = source.choice(["cat", "dog", "owl"], 400).astype(object)
    prediction = np.where(source.uniform(size=400) < 0.8, label, "cat").astype(object)
    rules = Rules(task="multiclass", suite=(entry("ClassificationQualityByLabel", labelled=True),))
    found = by_name(joined_suite(rules, pd.DataFrame(), Logged(label, prediction)))
    assert ("evidently.ClassificationQualityByLabel.RecallByLabel[owl]", None) in found
    owls = prediction[label == "owl"]
    assert found["evidently.ClassificationQualityByLabel.RecallByLabel[owl]", None].value == pytest.approx(
        (owls == "owl").mean()
    )


def test_labels_that_are_missing_settle_what_needs_them() -> None:
    rules = Rules(task="regression", suite=(entry("MAE", labelled=True), entry("RowCount")))
    (finding,) = joined_suite(rules, pd.DataFrame(), None)
    assert (finding.metric, finding.verdict) == ("evidently.MAE", Verdict.INSUFFICIENT_DATA)


def test_a_suite_that_could_not_be_run_is_an_error_of_each_entry() -> None:
    rules = Rules(suite=(entry("DataDriftPreset"), entry("MAE", labelled=True)))
    (finding,) = failed_suite(rules, False, "the suite ended 2 worker processes")
    assert (finding.metric, finding.verdict) == ("evidently.DataDriftPreset", Verdict.ERROR)
    assert finding.verdict not in FIRING
