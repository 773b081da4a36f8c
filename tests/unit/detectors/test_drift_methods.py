"""The named drift methods equal Evidently's values on real and on made-up rows."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.drift import METHODS, Kind, Points
from detectors.drift.bridge import run_evidently
from tests.unit.detectors.flights import month, usable

DISTANCES = ("psi", "jensenshannon", "kl_div", "hellinger")
NUMERIC = (*DISTANCES, "ks", "wasserstein")
CATEGORICAL = (*DISTANCES, "chisquare", "z")


JANUARY = month(1).iloc[::3].head(9_000)
FEBRUARY = month(2).iloc[::13].head(1_900)
JULY = month(7).iloc[::17].head(1_700)


def assert_equal_to_evidently(method: str, reference: np.ndarray, window: np.ndarray, kind: Kind) -> None:
    with np.errstate(all="ignore"):
        expected = run_evidently(f"evidently:{method}", reference, window, kind)
    value = METHODS[method].exact(reference, window, kind)
    assert value == pytest.approx(expected.value, rel=1e-12, abs=1e-12)
    assert METHODS[method].exceeds(value, METHODS[method].thresholds[kind]) == expected.drifted
    assert METHODS[method].thresholds[kind] == expected.threshold


@pytest.mark.parametrize("window", [FEBRUARY, JULY], ids=["february", "july"])
@pytest.mark.parametrize("column", ["dep_delay", "dep_time", "distance", "hour", "day", "air_time", "flight"])
@pytest.mark.parametrize("method", NUMERIC)
def test_numeric_columns_of_real_flights(method: str, column: str, window: pd.DataFrame) -> None:
    assert_equal_to_evidently(method, usable(JANUARY[column]), usable(window[column]), Kind.NUMERIC)


@pytest.mark.parametrize("window", [FEBRUARY, JULY], ids=["february", "july"])
@pytest.mark.parametrize("column", ["carrier", "origin", "dest"])
@pytest.mark.parametrize("method", CATEGORICAL)
def test_categorical_columns_of_real_flights(method: str, column: str, window: pd.DataFrame) -> None:
    assert_equal_to_evidently(method, usable(JANUARY[column]), usable(window[column]), Kind.CATEGORICAL)


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


NUMBERS = {
    "normal": (generator().normal(size=900), generator().normal(0.3, size=400)),
    "few distinct": (generator().integers(0, 5, 900), generator().integers(1, 7, 300)),
    "few distinct, float": (generator().integers(0, 5, 900) / 2, generator().integers(1, 7, 300) / 2),
    "exactly 21 distinct": (np.arange(21).repeat(3), np.arange(10).repeat(5)),
    "heavy tail": (generator().standard_cauchy(900), generator().standard_cauchy(400) * 2),
    "disjoint": (generator().normal(size=500), generator().normal(100, 1, size=500)),
    "constant in both": (np.full(100, 3.5), np.full(40, 3.5)),
    "constant, then another": (np.full(100, 3.5), np.full(40, 4.5)),
    "one row": (generator().normal(size=500), np.array([0.2])),
    "one row each": (np.array([1.0]), np.array([2.0])),
    "tiny": (generator().normal(size=500) * 1e-12, generator().normal(0.3, size=500) * 1e-12),
    "huge": (generator().normal(size=500) * 1e100, generator().normal(0.3, size=500) * 1e100),
    "equal": (np.arange(100.0), np.arange(100.0)),
    "rare empty bins": (np.concatenate([generator().normal(size=30_000), [9.0]]), generator().normal(size=500)),
}


@pytest.mark.parametrize("case", NUMBERS)
@pytest.mark.parametrize("method", NUMERIC)
def test_made_up_numbers(method: str, case: str) -> None:
    assert_equal_to_evidently(method, *NUMBERS[case], Kind.NUMERIC)


CATEGORIES = {
    "two": (np.array(["a"] * 60 + ["b"] * 40, dtype=object), np.array(["a"] * 20 + ["b"] * 30, dtype=object)),
    "unseen": (np.array(["a"] * 60 + ["b"] * 40, dtype=object), np.array(["a"] * 20 + ["c"] * 30, dtype=object)),
    "lost": (np.array(["a"] * 60 + ["b"] * 40, dtype=object), np.array(["b"] * 30, dtype=object)),
    "three": (np.array(list("abc") * 40, dtype=object), np.array(list("abcc") * 20, dtype=object)),
    "disjoint": (np.array(["a"] * 60, dtype=object), np.array(["b"] * 30, dtype=object)),
    "boolean": (np.array([True] * 60 + [False] * 40), np.array([True] * 20 + [False] * 40)),
    "rare": (np.array(["a"] * 30_000 + ["b"], dtype=object), np.array(["a"] * 500, dtype=object)),
}


@pytest.mark.parametrize("case", CATEGORIES)
@pytest.mark.parametrize("method", CATEGORICAL)
def test_made_up_categories(method: str, case: str) -> None:
    assert_equal_to_evidently(method, *CATEGORIES[case], Kind.CATEGORICAL)


def test_one_category_alone_says_nothing() -> None:
    same = np.array(["a"] * 5, dtype=object)
    assert METHODS["chisquare"].exact(same, same, Kind.CATEGORICAL) == 1.0
    assert METHODS["z"].exact(same, same, Kind.CATEGORICAL) == 1.0


def test_total_variation_is_the_distance_that_evidently_permutes() -> None:
    from evidently.legacy.calculations.stattests.tvd_stattest import _total_variation_distance

    before, after = usable(JANUARY["carrier"]), usable(FEBRUARY["carrier"])
    expected = _total_variation_distance(pd.Series(before), pd.Series(after))
    assert METHODS["tvd"].exact(before, after, Kind.CATEGORICAL) == pytest.approx(expected, abs=1e-12)


def test_auto_is_the_distance_in_robust_deviations() -> None:
    from scipy import stats

    before = np.concatenate([generator().normal(size=5_000), [1e6]])
    after = before + 0.2
    clipped = np.clip(before, *np.percentile(before, [1, 99], method="inverted_cdf"))
    expected = stats.wasserstein_distance(before, after) / clipped.std()
    assert METHODS["auto"].exact(before, after, Kind.NUMERIC) == pytest.approx(expected, rel=1e-9)
    assert METHODS["wasserstein"].exact(before, after, Kind.NUMERIC) < 0.01


@pytest.mark.parametrize("name", ["mannw", "anderson", "cramer_von_mises", "es", "t_test", "ed"])
def test_evidently_runs_its_other_tests(name: str) -> None:
    before, after = usable(JANUARY["dep_delay"])[:500], usable(JULY["dep_delay"])[:500]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verdict = run_evidently(f"evidently:{name}", before, after, Kind.NUMERIC)
    assert verdict.drifted
    assert np.isfinite(verdict.value)


def test_an_unknown_test_of_evidently_names_the_nearest() -> None:
    with pytest.raises(LookupError, match="did you mean 'mannw'"):
        run_evidently("evidently:mannww", np.arange(3.0), np.arange(3.0), Kind.NUMERIC)


numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60).map(np.array)


@settings(max_examples=60, deadline=None)
@given(before=numbers, after=numbers)
def test_bounds_and_symmetry(before: np.ndarray, after: np.ndarray) -> None:
    there = Points.of_rows(before, after, Kind.NUMERIC)
    back = Points.of_rows(after, before, Kind.NUMERIC)
    assert METHODS["psi"].from_cells(there) >= 0
    assert METHODS["kl_div"].from_cells(there) >= -1e-12
    assert 0 <= METHODS["jensenshannon"].from_cells(there) <= np.sqrt(np.log(2)) + 1e-9
    assert 0 <= METHODS["hellinger"].from_cells(there) <= 1
    assert METHODS["hellinger"].from_cells(there) == pytest.approx(METHODS["hellinger"].from_cells(back), abs=1e-7)
    for name in METHODS.names():
        if Kind.NUMERIC in METHODS[name].thresholds:
            assert METHODS[name].exact(before, before, Kind.NUMERIC) == pytest.approx(
                1.0 if name == "ks" else 0.0, abs=1e-7
            )
