"""Every registered detector goes through the same battery, whatever it measures."""

from __future__ import annotations

import functools
import math
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.config import vocabulary
from detectors.columns import ColumnType
from detectors.data_quality import CHECKS
from detectors.drift import METHODS, DriftMethod, Kind, Points
from detectors.evaluation import EvaluationResult
from detectors.findings import Finding, Verdict
from detectors.layout import NumericLayout
from detectors.quality import METRICS, JudgedRows, QualityMetric, Rows
from detectors.quality.classes import ClassRows
from detectors.quality.requests import RequestRows
from detectors.quality.rows import BINARY, MULTICLASS, RECOMMENDATION, REGRESSION
from detectors.reference import Reference
from detectors.registry import Registry, UnknownName
from detectors.rules import ColumnRule, Rules
from tests.unit.detectors.windows import day_times, evaluated, made_reference

DRIFT = [(method, kind) for method in METHODS for kind in method.thresholds]
of_drift = pytest.mark.parametrize(("method", "kind"), DRIFT, ids=[f"{m.name}-{k}" for m, k in DRIFT])
of_quality = pytest.mark.parametrize("metric", list(METRICS), ids=lambda metric: f"{metric.task}-{metric.name}")


def column(kind: Kind, rows: int, seed: int, distinct: int = 40) -> np.ndarray:
    random = np.random.default_rng(seed)
    if kind is Kind.NUMERIC:
        return random.normal(size=rows)
    return np.array([f"v{i}" for i in random.integers(0, distinct, rows)], dtype=object)


# Registry


def test_everything_is_found_by_importing_its_folder() -> None:
    assert set(METHODS.names()) == {
        "auto", "chisquare", "hellinger", "jensenshannon", "kl_div", "ks", "psi", "tvd", "wasserstein", "z",
    }  # fmt: skip
    assert {m.name for m in METRICS if m.task == REGRESSION} == {"mae", "rmse", "mape", "bias", "r2"}
    assert len([m for m in METRICS if m.task == BINARY]) == 10
    assert len([m for m in METRICS if m.task == MULTICLASS]) == 9
    assert len([m for m in METRICS if m.task == RECOMMENDATION]) == 10
    assert set(CHECKS.names()) == {
        "id_like", "lost", "missing", "mistyped", "nonfinite", "out_of_range", "rows", "stuck", "unseen",
    }  # fmt: skip


def test_the_configuration_offers_exactly_what_is_registered() -> None:
    assert set(vocabulary.METHODS) == set(METHODS.names())
    for task in (REGRESSION, BINARY, MULTICLASS, RECOMMENDATION):
        assert set(vocabulary.QUALITY_METRICS[task]) == {metric.name for metric in METRICS if metric.task == task}


def test_a_name_is_taken_once_and_an_unknown_one_names_the_nearest() -> None:
    registry: Registry[int] = Registry("number", "detectors.drift")
    registry.add("one", 1)
    with pytest.raises(ValueError, match="registered twice"):
        registry.add("one", 2)
    with pytest.raises(UnknownName, match=r"unknown number 'onee'; did you mean 'one'\? Known: one"):
        registry["onee"]
    assert "psi" in METHODS
    assert "psy" not in METHODS


# Drift methods


@of_drift
def test_drift_is_deterministic_and_leaves_its_input_alone(method: DriftMethod, kind: Kind) -> None:
    before, after = column(kind, 500, 1), column(kind, 300, 2)
    kept = before.copy(), after.copy()
    value = method.exact(before, after, kind)
    assert method.exact(before, after, kind) == value
    assert np.array_equal(before, kept[0])
    assert np.array_equal(after, kept[1])
    assert math.isfinite(value)


@of_drift
def test_drift_does_not_depend_on_the_order_of_rows(method: DriftMethod, kind: Kind) -> None:
    before, after = column(kind, 500, 1), column(kind, 300, 2)
    shuffled = np.random.default_rng(0).permutation(after)
    assert method.exact(before, shuffled, kind) == pytest.approx(method.exact(before, after, kind), abs=1e-12)


@of_drift
@pytest.mark.parametrize(("n", "m"), [(0, 10), (10, 0), (0, 0)])
def test_drift_of_nothing_is_no_number(method: DriftMethod, kind: Kind, n: int, m: int) -> None:
    assert math.isnan(method.exact(column(kind, n, 1), column(kind, m, 2), kind))
    assert math.isnan(method.from_cells(Points.of_rows(column(kind, n, 1), column(kind, m, 2), kind)))


@of_drift
def test_drift_of_the_same_rows_is_none(method: DriftMethod, kind: Kind) -> None:
    rows = column(kind, 400, 3)
    assert not method.exceeds(method.exact(rows, rows, kind), method.thresholds[kind])


@of_drift
@pytest.mark.parametrize("case", ["constant", "one row", "ties", "disjoint", "many categories"])
def test_drift_of_odd_columns_is_a_number(method: DriftMethod, kind: Kind, case: str) -> None:
    before, after = {
        "constant": (np.repeat(column(kind, 1, 1), 50), np.repeat(column(kind, 1, 1), 20)),
        "one row": (column(kind, 200, 1), column(kind, 1, 2)),
        "ties": (np.repeat(column(kind, 3, 1), 50), np.repeat(column(kind, 3, 1), 9)),
        "disjoint": (
            column(kind, 200, 1),
            np.repeat(np.array(["new"], object) if kind is Kind.CATEGORICAL else 99.0, 50),
        ),
        "many categories": (column(kind, 100_000, 1, 10**6), column(kind, 100_000, 2, 10**6)),
    }[case]
    value = method.exact(before, after, kind)
    assert math.isfinite(value)
    if (
        case in ("disjoint", "many categories")
        and (kind is Kind.CATEGORICAL or case == "disjoint")
        and method.name != "z"
    ):
        assert method.exceeds(value, method.thresholds[kind])


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e12, 1e150])
@pytest.mark.parametrize("method", [m for m, k in DRIFT if k is Kind.NUMERIC], ids=lambda m: m.name)
def test_drift_of_any_magnitude(method: DriftMethod, scale: float) -> None:
    before, after = column(Kind.NUMERIC, 500, 1), column(Kind.NUMERIC, 300, 2) + 1
    value = method.exact(before * scale, after * scale, Kind.NUMERIC)
    assert math.isfinite(value)
    # Evidently's Wasserstein takes a deviation below 0.001 for 0.001.
    if method.name != "wasserstein" or scale > 1:
        assert value == pytest.approx(method.exact(before, after, Kind.NUMERIC), rel=0.05, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30), st.integers(0, 9))
def test_no_numbers_make_a_method_raise(numbers: list[float], cut: int) -> None:
    before, after = np.array(numbers), np.array(numbers[cut % len(numbers) :])
    for method, kind in DRIFT:
        if kind is Kind.NUMERIC:
            assert isinstance(method.exact(before, after, kind), float)


# Quality metrics


CLASSES = ("cat", "dog", "emu")


def judged(metric: QualityMetric, rows: int = 300, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    if metric.task == REGRESSION:
        return regression(random, rows)
    if metric.task == MULTICLASS:
        shares = random.dirichlet(np.ones(len(CLASSES)), rows)
        labels = np.array([random.choice(len(CLASSES), p=share) for share in shares], dtype=np.int64)
        return ClassRows(np.argmax(shares, axis=1), labels, CLASSES, shares)
    if metric.task == RECOMMENDATION:
        shown = np.argsort(random.random((rows, 40)) ** np.arange(1, 41), axis=1)[:, :10]
        hits = random.random((rows, 10)) < 0.2
        return RequestRows(shown, hits, hits.sum(axis=1) + random.integers(0, 2, rows), np.arange(1.0, 31.0), 100)
    scores = random.random(rows)
    return JudgedRows((scores >= 0.5).astype(float), (random.random(rows) < scores).astype(float), scores)


def regression(random: np.random.Generator, rows: int) -> JudgedRows:
    labels = random.normal(5, 2, rows)
    return JudgedRows(labels + random.normal(size=rows), labels)


def same(metric: QualityMetric, rows: int, value: float) -> Rows:
    """Rows that are all alike."""
    if metric.task == MULTICLASS:
        code = np.full(rows, int(value), dtype=np.int64)
        return ClassRows(code, code, CLASSES, np.eye(len(CLASSES))[code])
    if metric.task == RECOMMENDATION:
        hits = np.full((rows, 3), bool(value))
        return RequestRows(np.tile(np.arange(3), (rows, 1)), hits, hits.sum(axis=1), np.ones(5), 10)
    return JudgedRows(np.full(rows, value), np.full(rows, value), np.full(rows, value))


@of_quality
def test_quality_is_deterministic_and_leaves_its_input_alone(metric: QualityMetric) -> None:
    rows = judged(metric)
    kept = pickle.dumps(rows)
    measured = metric.measure(rows)
    assert metric.measure(rows) == measured
    assert pickle.dumps(rows) == kept
    assert measured.low <= measured.value <= measured.high
    assert measured.error > 0


@of_quality
def test_quality_does_not_depend_on_the_order_of_rows(metric: QualityMetric) -> None:
    rows = judged(metric)
    shuffled = rows.take(np.random.default_rng(0).permutation(len(rows)))
    assert metric.measure(shuffled).value == pytest.approx(metric.measure(rows).value, abs=1e-9)


@of_quality
def test_quality_of_nothing_says_why(metric: QualityMetric) -> None:
    measured = metric.measure(judged(metric, 0))
    assert math.isnan(measured.value)
    assert measured.detail


@of_quality
@pytest.mark.parametrize("positive", [0.0, 1.0])
def test_quality_of_one_row_or_one_class_is_a_number_or_a_reason(metric: QualityMetric, positive: float) -> None:
    for rows in (1, 50):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            measured = metric.measure(same(metric, rows, positive))
        assert math.isfinite(measured.value) or measured.detail


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e9, 1e200])
@pytest.mark.parametrize("metric", [m for m in METRICS if m.task == REGRESSION], ids=lambda m: m.name)
def test_regression_of_any_magnitude(metric: QualityMetric, scale: float) -> None:
    rows = regression(np.random.default_rng(0), 300)
    measured = metric.measure(JudgedRows(rows.predictions * scale, rows.labels * scale))
    assert math.isfinite(measured.value) or measured.detail


@pytest.mark.parametrize(
    "metric", [m for m in METRICS if m.task in (BINARY, MULTICLASS)], ids=lambda m: f"{m.task}-{m.name}"
)
def test_classification_stays_in_its_bounds(metric: QualityMetric) -> None:
    for seed in range(20):
        measured = metric.measure(judged(metric, 7, seed))
        if math.isfinite(measured.value):
            assert measured.low >= 0
            highest = {"log_loss": math.inf, "brier": 2.0 if metric.task == MULTICLASS else 1.0}
            assert measured.high <= highest.get(metric.name, 1.0)


# The whole evaluation

ROWS, DAYS = 300, 16
CASES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "ordinary": lambda f: f,
    "empty": lambda f: f.iloc[:0],
    "one row": lambda f: f.iloc[:1],
    "all missing": lambda f: f.assign(x=np.nan, n=np.nan, c=None, b=None),
    "infinite": lambda f: f.assign(x=np.inf, n=-np.inf),
    "constant": lambda f: f.assign(x=1.0, n=1.0, c="a", b=True),
    "unseen": lambda f: f.assign(c="never before", n=1e9),
    "huge": lambda f: f.assign(x=1e308, n=-1e308),
    "tiny": lambda f: f.assign(x=f["x"] * 5e-324, n=f["n"] * 1e-300),
    "text": lambda f: f.assign(x="a word", n="another"),
    "many categories": lambda f: f.assign(c=[f"new {i}" for i in range(len(f))]),
    "ties": lambda f: f.assign(x=np.repeat([0.0, 1.0], len(f))[: len(f)], n=np.arange(len(f)) % 2.0),
}
RULES = Rules(
    segment_min_rows=50,
    columns={
        "x": ColumnRule(method="psi", minimum=-1e6, maximum=1e6, missing_maximum=0.5),
        "n": ColumnRule(direction="up"),
        "c": ColumnRule(method="chisquare"),
    },
)


def frame(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": random.normal(size=rows),
            "n": random.integers(0, 8, rows).astype(float),
            "c": random.choice(list("abc"), rows).astype(object),
            "b": random.random(rows) < 0.3,
            "s": random.choice(["left", "right"], rows).astype(object),
        }
    )


@functools.cache
def reference() -> Reference:
    rows = frame(ROWS * DAYS, 9)
    return made_reference(rows, event_time=day_times(len(rows), DAYS), segment_by=[("s",)])


def evaluation(rows: pd.DataFrame, parts: int = 1) -> EvaluationResult:
    return evaluated(reference(), rows, RULES, parts=parts)


def comparable(finding: Finding) -> Finding:
    """The finding without what a different grouping may round differently."""
    rounded = {
        name: None if value is None else float(f"{value:.9g}") if abs(value) > 1e-12 else 0.0
        for name in ("value", "p_value", "usual", "current", "noise_floor")
        for value in [getattr(finding, name)]
    }
    return replace(finding, **rounded)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES)
def test_evaluation_of_odd_windows(case: str) -> None:
    rows = CASES[case](frame(ROWS, 1))
    kept = rows.copy()
    result = evaluation(rows)
    pd.testing.assert_frame_equal(rows, kept)
    assert evaluation(rows) == result
    assert not [finding for finding in result.findings if finding.verdict is Verdict.ERROR], case
    for finding in result.findings:
        for value in (finding.value, finding.threshold, finding.p_value, finding.usual, finding.current):
            assert value is None or math.isfinite(value), finding
        assert finding.p_value is None or 0 <= finding.p_value <= 1


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("parts", [2, 13])
def test_evaluation_of_merged_partials_is_that_of_one(case: str, parts: int) -> None:
    rows = CASES[case](frame(ROWS, 1))
    one, many = evaluation(rows), evaluation(rows, parts)
    assert [comparable(f) for f in many.findings] == [comparable(f) for f in one.findings]
    assert many.rows == one.rows


def odd(rows: int, seed: int) -> pd.DataFrame:
    """A frame with, beside the plain columns, one of every kind that has its own way through the layout."""
    random = np.random.default_rng(seed)
    plain = frame(rows, seed)
    return plain.assign(
        gone=None,
        flat=1.0,
        huge=plain["x"] * 1e300,
        tiny=plain["x"] * 1e-300,
        seldom=np.where(random.random(rows) < 0.005, random.lognormal(size=rows), 0.0),
        two=(random.random(rows) < 0.4).astype(float),
        holes=np.where(random.random(rows) < 0.9, np.nan, plain["x"]),
        limits=np.where(random.random(rows) < 0.3, np.inf, plain["x"]),
        many=random.choice([f"v{i}" for i in range(300)], rows).astype(object),
        id=[f"id {i}" for i in range(rows)],
    )


@functools.cache
def odd_reference(times: bool) -> Reference:
    rows = odd(ROWS * DAYS, 9)
    event_time = day_times(len(rows), DAYS) if times else None
    return made_reference(
        rows, event_time=event_time, declared={"n": ColumnType.CATEGORICAL}, segment_by=[("s",), ("b", "n")]
    )


@pytest.mark.parametrize("times", [True, False], ids=["calibrated", "uncalibrated"])
@pytest.mark.parametrize("method", list(METHODS), ids=lambda method: method.name)
def test_every_method_on_odd_windows_of_odd_columns(method: DriftMethod, times: bool) -> None:
    """Given columns of every kind, When a window of them is odd, Then no method, test or check ends in an error."""
    made = odd_reference(times)
    fitting = {
        column.name: ColumnRule(method=method.name, direction="up")
        for column in made.layout.columns
        if (Kind.NUMERIC if isinstance(column, NumericLayout) else Kind.CATEGORICAL) in method.thresholds
    }
    rules = Rules(min_rows=1, segment_min_rows=1, columns=fitting)
    window = odd(ROWS, 1)
    for case, change in CASES.items():
        result = evaluated(made, change(window), rules)
        assert not [f for f in result.findings if f.verdict is Verdict.ERROR], case
        for finding in result.findings:
            assert finding.value is None or math.isfinite(finding.value), (case, finding)
            assert finding.p_value is None or 0 <= finding.p_value <= 1, (case, finding)
    flags = odd(ROWS, 2).assign(**{name: odd(ROWS, 3)[name].iloc[0] for name in ("flat", "seldom", "two", "many")})
    assert not [f for f in evaluated(made, flags, rules).findings if f.verdict is Verdict.ERROR]


@pytest.mark.parametrize("distinct", [100_000, 1_000_000])
def test_a_column_of_very_many_categories(distinct: int) -> None:
    random = np.random.default_rng(0)
    texts = np.array([f"k{i}" for i in random.integers(0, distinct, 100_000)], dtype=object)
    rows = pd.DataFrame({"k": texts, "x": random.normal(size=100_000)})
    many = made_reference(rows, event_time=day_times(len(rows), 20))
    result = evaluated(many, rows.iloc[:5_000])
    assert not [finding for finding in result.findings if finding.verdict is Verdict.ERROR]
    assert any(finding.metric == "id_like" for finding in result.findings)
