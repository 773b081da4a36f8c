"""From partials to verdicts: what is flagged, what is held back, and what is said about it."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from detectors.columns import Role
from detectors.drift import Kind
from detectors.drift.bridge import run_evidently
from detectors.evaluation import evaluate_drift
from detectors.findings import FIRING, Signal, Verdict
from detectors.reference import Reference
from detectors.rules import ColumnRule, Rules
from tests.unit.detectors.windows import DAY, START, day_times, drift_input, evaluated, found, made_reference

DAYS = 20
ROWS = 600


def rows(count: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """One model's ordinary rows."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "prediction": random.normal(10, 3, count),
            "delay": random.gamma(2, 5, count).round(1),
            "carrier": random.choice(["UA", "AA", "DL", "WN"], count, p=[0.4, 0.3, 0.2, 0.1]).astype(object),
            "night": random.random(count) < 0.2,
            "origin": random.choice(["JFK", "LGA"], count).astype(object),
            "flat": np.ones(count),
        }
    )


@functools.cache
def reference(days: int = DAYS, *, timed: bool = True, segments: bool = False) -> Reference:
    frame = rows(days * ROWS, seed=99)
    return made_reference(
        frame,
        event_time=day_times(len(frame), days) if timed else None,
        roles={"prediction": Role.PREDICTION},
        segment_by=[("origin",)] if segments else [],
    )


def test_an_ordinary_window_is_quiet() -> None:
    result = evaluated(reference(), rows(seed=1))
    assert result.rows == ROWS
    assert {finding.verdict for finding in result.findings} == {Verdict.OK}
    assert not any(finding.flagged for finding in result.findings)


def test_a_shifted_prediction_is_prediction_drift_and_says_what_moved() -> None:
    frame = rows(seed=1).assign(prediction=lambda f: f["prediction"] + 3)
    finding = found(evaluated(reference(), frame), "robust_wasserstein", "prediction")
    assert finding.signal is Signal.PREDICTION_DRIFT
    assert finding.verdict is Verdict.DRIFT
    assert finding.flagged
    assert not finding.immediate
    assert finding.value == pytest.approx(1.0, abs=0.15)
    assert finding.threshold == 0.1
    assert finding.noise_floor is not None
    assert finding.noise_floor < 0.2
    assert finding.p_value is not None
    assert finding.p_value < 1e-6
    assert finding.usual == pytest.approx(10, abs=0.3)
    assert finding.current == pytest.approx(13, abs=0.3)
    assert finding.driver is not None
    assert finding.driver.startswith("prediction")


def test_a_feature_is_feature_drift_and_the_others_stay_quiet() -> None:
    frame = rows(seed=1)
    frame.loc[: ROWS // 4, "carrier"] = "WN"
    result = evaluated(reference(), frame)
    finding = found(result, "tvd", "carrier")
    assert finding.signal is Signal.FEATURE_DRIFT
    assert finding.verdict is Verdict.DRIFT
    assert finding.driver is not None
    assert finding.driver.startswith("carrier = WN: 10 →")
    assert [other.column for other in result.findings if other.verdict in FIRING] == ["carrier"]


def test_a_large_shift_within_ordinary_variation_is_no_drift() -> None:
    # Given a column whose level moves by a sigma from day to day in the reference itself
    frame = rows(DAYS * ROWS, seed=5)
    day = np.arange(len(frame)) // ROWS
    level = np.random.default_rng(0).normal(0, 3, DAYS)
    frame["prediction"] += level[day]
    restless = made_reference(frame, event_time=day_times(len(frame), DAYS), roles={"prediction": Role.PREDICTION})
    # When a window moves as far as the days do
    window = rows(seed=1).assign(prediction=lambda f: f["prediction"] + 3)
    finding = found(evaluated(restless, window), "robust_wasserstein", "prediction")
    # Then it is large, and ordinary
    assert finding.value is not None
    assert finding.value > 0.1
    assert finding.verdict is Verdict.OK
    assert finding.p_value is not None
    assert finding.p_value > 0.02


def test_a_certain_shift_too_small_to_matter_is_no_drift() -> None:
    window = rows(60_000, seed=1).assign(prediction=lambda f: f["prediction"] + 0.2)
    finding = found(evaluated(reference(), window), "robust_wasserstein", "prediction")
    assert finding.value == pytest.approx(0.07, abs=0.01)
    assert finding.verdict is Verdict.OK


def test_too_few_rows_say_nothing() -> None:
    finding = found(evaluated(reference(), rows(150)), "robust_wasserstein", "prediction")
    assert finding.verdict is Verdict.INSUFFICIENT_DATA
    assert finding.detail == "150 values, 200 are needed"
    assert finding.value is None


def test_a_young_reference_flags_without_telling() -> None:
    frame = rows(seed=1).assign(prediction=lambda f: f["prediction"] + 5)
    finding = found(evaluated(reference(5), frame), "robust_wasserstein", "prediction")
    assert finding.verdict is Verdict.CALIBRATING
    assert finding.flagged


def test_a_reference_without_event_times_is_uncalibrated_until_live_windows_come() -> None:
    untimed = reference(timed=False)
    shifted = rows(seed=1).assign(prediction=lambda f: f["prediction"] + 5)
    before = found(evaluated(untimed, shifted), "robust_wasserstein", "prediction")
    assert before.verdict is Verdict.UNCALIBRATED
    assert before.flagged

    vectors = []
    for day in range(14):
        result = evaluated(untimed, rows(seed=day), start=START + day * DAY)
        assert result.vector is not None
        vectors.append(result.vector)
    after = found(evaluated(untimed, shifted, live=tuple(vectors)), "robust_wasserstein", "prediction")
    assert after.verdict is Verdict.DRIFT


def test_a_constant_column_that_begins_to_vary() -> None:
    frame = rows(seed=1)
    frame.loc[:30, "flat"] = 2.0
    finding = found(evaluated(reference(), frame), "differing", "flat")
    assert finding.verdict is Verdict.DRIFT
    assert finding.value == pytest.approx(31 / ROWS)
    assert finding.p_value is not None
    assert finding.p_value < 1e-20


def test_versions_are_judged_apart() -> None:
    shifted = rows(seed=2).assign(prediction=lambda f: f["prediction"] + 5)
    result = evaluated(reference(), {"6": rows(seed=1), "7": shifted})
    assert found(result, "robust_wasserstein", "prediction", version="6").verdict is Verdict.OK
    assert found(result, "robust_wasserstein", "prediction", version="7").verdict is Verdict.DRIFT
    assert found(result, "rows", None, version=None).value == 2 * ROWS


def test_a_segment_drifts_alone() -> None:
    frame = rows(3_000, seed=1)
    frame.loc[frame["origin"] == "JFK", "prediction"] += 4
    rules = Rules(segment_min_rows=500)
    result = evaluated(reference(segments=True), frame, rules)
    jfk = found(result, "robust_wasserstein", "prediction", segment={"origin": "JFK"})
    lga = found(result, "robust_wasserstein", "prediction", segment={"origin": "LGA"})
    assert jfk.verdict is Verdict.DRIFT
    assert jfk.driver is not None
    assert lga.verdict is Verdict.OK
    assert not any(f.column == "origin" and f.segment for f in result.findings)


def test_a_small_segment_says_so_once() -> None:
    frame = rows(seed=1)
    result = evaluated(reference(segments=True), frame, Rules(segment_min_rows=500))
    finding = found(result, "rows", None, segment={"origin": "JFK"})
    assert finding.verdict is Verdict.INSUFFICIENT_DATA
    assert finding.detail == f"{finding.rows} rows, 500 are needed"
    assert not any(f.column and f.segment for f in result.findings)


@pytest.mark.parametrize("method", ["psi", "ks", "wasserstein", "jensenshannon", "kl_div", "hellinger"])
def test_a_named_method_has_evidentlys_value_while_rows_are_few(method: str) -> None:
    frame = rows(seed=3).assign(delay=lambda f: f["delay"] * 1.1)
    rules = Rules(columns={"delay": ColumnRule(method=method)})
    finding = found(evaluated(reference(), frame, rules, parts=3), method, "delay")
    stored = reference().sample["delay"].to_numpy()
    expected = run_evidently(f"evidently:{method}", stored, frame["delay"].to_numpy(), Kind.NUMERIC)
    assert finding.value == pytest.approx(expected.value, abs=1e-12, rel=1e-12)
    assert finding.threshold == expected.threshold
    assert finding.noise_floor is not None


@pytest.mark.parametrize("method", ["psi", "wasserstein", "jensenshannon", "kl_div", "hellinger"])
def test_a_named_method_on_cells_is_close_to_evidentlys_value(method: str) -> None:
    frame = rows(50_000, seed=3).assign(delay=lambda f: f["delay"] * 1.2)
    rules = Rules(columns={"delay": ColumnRule(method=method)})
    finding = found(evaluated(reference(), frame, rules, parts=3), method, "delay")
    expected = run_evidently(
        f"evidently:{method}", reference().sample["delay"].to_numpy(), frame["delay"].to_numpy(), Kind.NUMERIC
    )
    assert finding.value == pytest.approx(expected.value, rel=0.05, abs=0.003)


def test_psi_of_categories_on_cells_is_evidentlys() -> None:
    frame = rows(50_000, seed=3)
    rules = Rules(columns={"carrier": ColumnRule(method="psi", threshold=0.25)})
    finding = found(evaluated(reference(), frame, rules), "psi", "carrier")
    stored, window = reference().sample["carrier"].to_numpy(), frame["carrier"].to_numpy()
    expected = run_evidently("evidently:psi", stored, window, Kind.CATEGORICAL)
    assert finding.value == pytest.approx(expected.value, abs=1e-12)
    assert finding.threshold == 0.25


def test_evidentlys_other_tests_run_on_the_sample() -> None:
    frame = rows(5_000, seed=3).assign(delay=lambda f: f["delay"] * 1.5)
    rules = Rules(columns={"delay": ColumnRule(method="evidently:mannw")})
    finding = found(evaluated(reference(), frame, rules), "evidently:mannw", "delay")
    assert finding.verdict is Verdict.DRIFT
    assert finding.value is not None
    assert finding.value < 0.05


def test_a_method_for_other_columns_is_that_columns_error_alone() -> None:
    rules = Rules(columns={"delay": ColumnRule(method="chisquare")})
    result = evaluated(reference(), rows(seed=1), rules)
    finding = found(result, "chisquare", "delay")
    assert finding.verdict is Verdict.ERROR
    assert finding.detail is not None
    assert "method 'chisquare' is not for numeric columns" in finding.detail
    assert found(result, "robust_wasserstein", "prediction").verdict is Verdict.OK


@pytest.mark.parametrize(("direction", "verdict"), [("up", Verdict.DRIFT), ("down", Verdict.OK)])
def test_a_direction_that_is_not_watched_is_quiet(direction: str, verdict: Verdict) -> None:
    frame = rows(seed=1).assign(delay=lambda f: f["delay"] + 10)
    rules = Rules(columns={"delay": ColumnRule(direction=direction)})
    assert found(evaluated(reference(), frame, rules), "robust_wasserstein", "delay").verdict is verdict


def test_drift_of_a_column_is_held_while_its_own_data_quality_fires() -> None:
    frame = rows(seed=1)
    frame.loc[: ROWS // 2, "delay"] = np.nan
    frame["delay"] += 30
    result = evaluated(reference(), frame)
    assert found(result, "missing", "delay").verdict is Verdict.VIOLATED
    finding = found(result, "robust_wasserstein", "delay")
    assert finding.verdict is Verdict.NO_DATA
    assert finding.value is not None
    assert finding.detail is not None
    assert finding.detail.startswith("held back")
    assert found(result, "robust_wasserstein", "prediction").verdict is Verdict.OK


def test_no_rows_at_all() -> None:
    result = evaluated(reference(), rows().iloc[:0])
    assert result.rows == 0
    assert result.vector is None
    assert found(result, "robust_wasserstein", "prediction").verdict is Verdict.INSUFFICIENT_DATA
    assert found(evaluate_none(), "rows", None, version=None).value == 0


def evaluate_none():  # type: ignore[no-untyped-def]
    return evaluated(reference(), {})


def test_the_same_input_gives_the_same_result_in_any_grouping() -> None:
    frame = rows(seed=1).assign(prediction=lambda f: f["prediction"] + 1)
    one = evaluated(reference(segments=True), frame)
    assert evaluated(reference(segments=True), frame) == one
    many = evaluated(reference(segments=True), frame, parts=7)
    assert [(f.metric, f.column, f.verdict, f.segment) for f in many.findings] == [
        (f.metric, f.column, f.verdict, f.segment) for f in one.findings
    ]
    for a, b in zip(one.findings, many.findings, strict=True):
        assert (a.value is None) == (b.value is None)
        if a.value is not None:
            assert a.value == pytest.approx(b.value, rel=1e-9, abs=1e-12)


def test_input_and_result_can_be_sent_to_another_process() -> None:
    given = drift_input(reference(), rows(seed=1))
    sent = pickle.loads(pickle.dumps(given))
    assert evaluate_drift(sent) == pickle.loads(pickle.dumps(evaluate_drift(given)))


def test_evaluation_needs_neither_evidently_nor_other_slow_imports() -> None:
    code = """
import sys
import detectors.evaluation
from detectors.data_quality import CHECKS
from detectors.drift import METHODS
from detectors.quality import METRICS
assert METHODS.names() and METRICS.names() and CHECKS.names()
print([name for name in ("evidently", "sklearn", "plotly", "scipy.stats") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_noise_floor_of_a_p_value_is_on_its_low_side() -> None:
    rules = Rules(columns={"delay": ColumnRule(method="ks"), "prediction": ColumnRule(method="psi")})
    result = evaluated(reference(), rows(seed=1), rules)
    ks, psi = found(result, "ks", "delay"), found(result, "psi", "prediction")
    assert ks.noise_floor is not None
    assert psi.noise_floor is not None
    assert ks.noise_floor < 0.3
    assert 0 < psi.noise_floor < 0.1
