"""Data quality: rules are violated at once, the rest must be large and unusual."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import nbinom

from detectors.findings import FIRING, Signal, Verdict
from detectors.rates import UsualCount
from detectors.reference import Reference
from detectors.rules import ColumnRule, Rules
from tests.unit.detectors.windows import day_times, evaluated, found, made_reference

DAYS, ROWS = 20, 500


def rows(count: int = ROWS, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    delay = random.normal(10, 3, count)
    delay[random.random(count) < 0.05] = np.nan
    return pd.DataFrame(
        {
            "delay": delay,
            "hour": random.integers(5, 24, count).astype(float),
            "carrier": random.choice(["UA", "AA", "DL"], count).astype(object),
            "tail": np.array([f"N{i}" for i in random.integers(0, 10**9, count)], dtype=object),
            "rare": np.where(random.random(count) < 0.4, 1.0, np.nan),
        }
    )


@functools.cache
def reference() -> Reference:
    frame = rows(DAYS * ROWS, seed=9)
    return made_reference(frame, event_time=day_times(len(frame), DAYS))


def test_an_ordinary_window_is_fine() -> None:
    result = evaluated(reference(), rows(seed=1))
    assert {finding.verdict for finding in result.findings} == {Verdict.OK}


@pytest.mark.parametrize(("share", "verdict"), [(0.06, Verdict.OK), (0.3, Verdict.VIOLATED), (0.0, Verdict.VIOLATED)])
def test_missing_values_matter_in_both_directions(share: float, verdict: Verdict) -> None:
    frame = rows(seed=1)
    frame["delay"] = np.where(np.arange(ROWS) < share * ROWS, np.nan, 10 + np.random.default_rng(1).normal(0, 3, ROWS))
    finding = found(evaluated(reference(), frame), "missing", "delay")
    assert finding.verdict is verdict
    assert finding.value == pytest.approx(share)
    assert finding.usual == pytest.approx(0.05, abs=0.01)
    assert finding.signal is Signal.DATA_QUALITY
    assert not finding.immediate


def test_an_explicit_limit_of_missing_values_fires_at_once() -> None:
    frame = rows(seed=1)
    rules = Rules(columns={"delay": ColumnRule(missing_maximum=0.01)})
    finding = found(evaluated(reference(), frame, rules), "missing_maximum", "delay")
    assert finding.verdict is Verdict.VIOLATED
    assert finding.immediate
    assert finding.threshold == 0.01


def test_infinite_values() -> None:
    frame = rows(seed=1)
    frame.loc[:49, "delay"] = np.inf
    finding = found(evaluated(reference(), frame), "nonfinite", "delay")
    assert finding.verdict is Verdict.VIOLATED
    assert finding.value == 0.1


def test_a_column_that_turned_into_text_is_set_apart() -> None:
    frame = rows(seed=1)
    frame["hour"] = frame["hour"].map(lambda hour: f"{hour:.0f} h")
    result = evaluated(reference(), frame)
    finding = found(result, "mistyped", "hour")
    assert finding.signal is Signal.SCHEMA
    assert finding.verdict is Verdict.VIOLATED
    assert finding.immediate
    assert finding.driver == "hour: 100 % of the values are no longer numeric"
    assert found(result, "robust_wasserstein", "hour").verdict is Verdict.INSUFFICIENT_DATA
    assert found(result, "robust_wasserstein", "delay").verdict is Verdict.OK


def test_a_column_half_text_has_its_drift_held() -> None:
    frame = rows(seed=1)
    frame["hour"] = frame["hour"].astype(object)
    frame.loc[: ROWS // 2, "hour"] = "late"
    drift = found(evaluated(reference(), frame), "robust_wasserstein", "hour")
    assert drift.verdict is Verdict.NO_DATA
    assert drift.detail is not None
    assert drift.detail.startswith("held back")


def test_a_field_that_is_gone() -> None:
    result = evaluated(reference(), rows(seed=1).assign(delay=np.nan))
    finding = found(result, "lost", "delay")
    assert finding.signal is Signal.SCHEMA
    assert finding.verdict is Verdict.VIOLATED
    assert finding.driver == "delay is gone from every row"
    assert not any(f.metric == "lost" and f.column == "rare" for f in result.findings)


def test_a_column_that_is_gone_is_told_once() -> None:
    given = rows(seed=1).assign(delay=np.nan)
    rules = Rules(columns={"delay": ColumnRule(missing_maximum=0.1)})
    result = evaluated(reference(), given, rules, seen=frozenset({"delay"}))
    assert found(result, "lost", "delay").verdict is Verdict.VIOLATED
    assert {f.metric for f in result.findings if f.column == "delay" and f.verdict in FIRING} == {"lost"}


def test_a_column_that_was_never_there_is_no_alarm() -> None:
    result = evaluated(reference(), rows(seed=1).assign(delay=np.nan), seen=frozenset({"carrier"}))
    finding = found(result, "lost", "delay")
    assert (finding.verdict, finding.flagged) == (Verdict.NO_DATA, False)
    assert finding.detail is not None
    assert "columns.exclude" in finding.detail
    assert not any(f.verdict in FIRING for f in result.findings)


@pytest.mark.parametrize(("value", "verdict"), [(23.0, Verdict.OK), (24.0, Verdict.VIOLATED)])
def test_an_explicit_range(value: float, verdict: Verdict) -> None:
    frame = rows(seed=1)
    frame.loc[0, "hour"] = value
    rules = Rules(columns={"hour": ColumnRule(minimum=0, maximum=23)})
    finding = found(evaluated(reference(), frame, rules), "out_of_range", "hour")
    assert finding.verdict is verdict
    assert finding.immediate
    assert finding.value == (0.0 if verdict is Verdict.OK else 1 / ROWS)


def test_unseen_categories() -> None:
    frame = rows(seed=1)
    frame.loc[:39, "carrier"] = "XX"
    finding = found(evaluated(reference(), frame), "unseen", "carrier")
    assert finding.verdict is Verdict.VIOLATED
    assert finding.value == 0.08
    assert finding.driver == "carrier unseen: 8 % (XX 40)"


def test_one_unseen_value_is_nothing() -> None:
    frame = rows(seed=1)
    frame.loc[0, "carrier"] = "XX"
    assert found(evaluated(reference(), frame), "unseen", "carrier").verdict is Verdict.OK


def test_an_id_like_column_gets_no_drift_test_and_says_so() -> None:
    result = evaluated(reference(), rows(seed=1))
    assert found(result, "id_like", "tail").verdict is Verdict.OK
    assert found(result, "missing", "tail").verdict is Verdict.OK
    assert {f.metric for f in result.findings if f.column == "tail"} == {"id_like", "missing", "mistyped", "lost"}


def test_a_column_that_is_stuck() -> None:
    finding = found(evaluated(reference(), rows(seed=1).assign(hour=12.0)), "stuck", "hour")
    assert finding.verdict is Verdict.VIOLATED
    assert finding.driver == "hour is the same in every row"


@pytest.mark.parametrize(
    ("count", "verdict"), [(350, Verdict.OK), (210, Verdict.VIOLATED), (700, Verdict.OK), (1_500, Verdict.VIOLATED)]
)
def test_rows_against_the_usual(count: int, verdict: Verdict) -> None:
    finding = found(evaluated(reference(), rows(count, 1)), "rows", None, version=None)
    assert finding.usual == pytest.approx(ROWS, rel=0.02)
    assert finding.current == count
    assert finding.verdict is verdict
    assert finding.noise_floor is not None


def test_a_failing_check_is_its_own_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    from detectors.profile import Profile

    def broken(*_: object) -> None:
        raise ArithmeticError("no minimum")

    monkeypatch.setattr(Profile, "minimum", broken)
    rules = Rules(columns={"hour": ColumnRule(minimum=0)})
    result = evaluated(reference(), rows(seed=1), rules)
    finding = found(result, "out_of_range", None)
    assert finding.verdict is Verdict.ERROR
    assert finding.detail == "ArithmeticError: no minimum"
    assert found(result, "missing", "delay").verdict is Verdict.OK


def test_usual_counts_are_negative_binomial() -> None:
    usual = UsualCount(100, 0.05, 10**9)
    assert usual.at_least(150) == pytest.approx(nbinom.sf(149, 20, 20 / 120), rel=1e-6)
    assert usual.at_most(60) == pytest.approx(nbinom.cdf(60, 20, 20 / 120), rel=1e-6)
    assert usual.band() == pytest.approx((57, 153), abs=2)
    assert UsualCount(0, 0.05, 5).p_value(0) == 1.0
    assert UsualCount(0, 0.05, 5).p_value(1) == 0.0
    assert UsualCount.of([90, 110, 100]).dispersion == 0.05
    few, many = UsualCount(100, 0.05, 2), UsualCount(100, 0.05, 200)
    assert few.at_least(150) > many.at_least(150)
