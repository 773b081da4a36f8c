"""The level at which a model may speak follows from its budget."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.budget import benjamini_hochberg, independent_windows, level
from detectors.instants import DAY, HOUR


@pytest.mark.parametrize(
    ("size", "every", "windows"),
    [(DAY, DAY, 7), (DAY, 6 * HOUR, 28), (DAY, HOUR, 56), (HOUR, HOUR, 168)],
)
def test_overlapping_windows_count_as_some_independent_ones(size: int, every: int, windows: float) -> None:
    assert independent_windows(size, every) == windows


@pytest.mark.parametrize(
    ("per_week", "for_windows", "rho", "expected"),
    [
        (0.014, 1, 0.0, 0.001),
        (0.014, 2, 0.0, 0.001**0.5),
        (0.014, 2, 0.5, 0.001 ** (1 / 1.5)),
        (0.0014, 3, 0.9, 0.0001 ** (1 / 1.2)),
        (100.0, 2, 0.0, 0.02),
    ],
)
def test_the_level_is_the_formula_up_to_two_percent(
    per_week: float, for_windows: int, rho: float, expected: float
) -> None:
    assert level(per_week, DAY, DAY, for_windows, rho) == pytest.approx(min(0.02, expected))


def test_alike_windows_and_fewer_of_them_make_the_level_stricter() -> None:
    assert level(0.01, DAY, DAY, 2, 0.7) < level(0.01, DAY, DAY, 2, 0.0)
    assert level(0.01, DAY, DAY, 1, 0.0) < level(0.01, DAY, DAY, 2, 0.0)


def test_rejections_are_those_of_scipy_s_adjusted_p_values() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        p = random.random(20) ** random.integers(1, 6)
        assert benjamini_hochberg(p, 0.05).tolist() == (stats.false_discovery_control(p) <= 0.05).tolist()


def test_what_was_not_tested_is_not_counted() -> None:
    assert benjamini_hochberg(np.array([np.nan, 0.04]), 0.05).tolist() == [False, True]
    assert benjamini_hochberg(np.array([]), 0.05).tolist() == []
