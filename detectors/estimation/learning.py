"""What a labelled reference teaches about estimating a model's quality, and how far off the estimates were on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.columns import Column
from detectors.estimation.family import FAMILIES, Family, Matrix
from detectors.estimation.given import Given, given_rows
from detectors.estimation.isotonic import Curve
from detectors.quality.floor import LEAST_ROWS, QualityFloor
from detectors.quality.metric import Measured, measure
from detectors.quality.reading import Terms

FEWEST_ROWS = 100
"""With fewer labelled rows nothing is learned."""
MOST_ROWS = 100_000
"""So many rows of a reference are estimated; a larger one is thinned evenly."""
FOLDS = 5
CHUNKS = 20
"""Into so many parts a reference without event times is cut."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """How far estimates were off on windows of the reference that they had not been learned from.

    `off` is the mean absolute difference to the measured value, `usual_off` that of always saying the usual value.
    `own_error` is the root mean square of what is not explained by the measured values' own error, for these are over
    few rows. All in the metric's unit; over `windows` windows.
    """

    windows: int
    off: float
    usual_off: float
    own_error: float

    @classmethod
    def of(cls, estimated: Sequence[float], measured: Sequence[Measured], usual: float) -> Backtest:
        values, errors = (np.array([getattr(m, name) for m in measured]) for name in ("value", "error"))
        off = np.asarray(estimated) - values
        excess = float(np.mean(off**2 - errors**2)) if len(off) else 0.0
        return cls(
            len(off),
            float(np.mean(np.abs(off))) if len(off) else 0.0,
            float(np.mean(np.abs(values - usual))) if len(off) else 0.0,
            math.sqrt(max(0.0, excess)),
        )


@dataclass(frozen=True, slots=True)
class Estimation:
    """What a reference keeps for estimates of quality: small numbers, no model.

    `reason` says in words why there are none, None where there are. `curves` calibrate the family's signal, `floors`
    are the estimates over the reference's own windows, each by what was learned from the others.
    """

    reason: str | None = "the reference was built before quality was estimated"
    curves: Mapping[str, Curve] = field(default_factory=dict)
    floors: Mapping[str, QualityFloor] = field(default_factory=dict)
    backtests: Mapping[str, Backtest] = field(default_factory=dict)


def learned_estimation(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    *,
    labels: NDArray[np.generic] | None,
    scores: NDArray[np.generic] | None,
    terms: Terms,
    window: NDArray[np.int64] | None,
) -> Estimation:
    """What a reference's rows, in order of time, teach; an error is a reason, for the reference is good without.

    `window` is each row's window, numbered from 0, and below 0 where the row is in none; None without event times.
    """
    if terms.task not in FAMILIES:
        return Estimation(f"quality is not estimated for the task {terms.task}")
    if labels is None:
        return Estimation("the reference has no labels to learn from")
    try:
        return _learned(frame, columns, labels, scores, terms, window)
    except Exception as error:  # noqa: BLE001 - drift is judged against the reference whatever is wrong here
        return Estimation(f"learning from its labels failed: {type(error).__name__}: {error}")


def _learned(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    labels: NDArray[np.generic],
    scores: NDArray[np.generic] | None,
    terms: Terms,
    window: NDArray[np.int64] | None,
) -> Estimation:
    family = FAMILIES[terms.task]
    given = given_rows(frame, terms, labels, scores)
    if isinstance(given, str):
        return Estimation(given)
    if len(given) < FEWEST_ROWS:
        return Estimation(f"the reference has {len(given)} labelled rows that can be used, {FEWEST_ROWS} are needed")
    if len(given) > MOST_ROWS:
        given = given.take(np.linspace(0, len(given) - 1, MOST_ROWS).round().astype(np.intp))
    reason = family.unlearnable(given)
    if reason is not None:
        return Estimation(f"{reason} in the reference")
    group = _chunks(len(given)) if window is None else window[given.places]
    fold = np.arange(len(given)) * FOLDS // len(given) if window is None else _folds(group)
    expected, curves = _out_of_fold(family, given, columns, fold)
    windows = _windows(group)
    whole = family.estimates(given, expected)
    estimated = [family.estimates(given.take(places), expected[places]) for places in windows]
    measured = [measure(terms.task, given.take(places).rows) for places in windows]
    usual = measure(terms.task, given.rows)
    floors, backtests = {}, {}
    for name, total in whole.items():
        both = [(e[name], m[name]) for e, m in zip(estimated, measured, strict=True)]
        both = [(e, m) for e, m in both if math.isfinite(e.value) and math.isfinite(m.value)]
        if not (math.isfinite(total.value) and math.isfinite(usual[name].value)):
            continue
        values = [e.value for e, _ in both]
        backtests[name] = Backtest.of(values, [m for _, m in both], usual[name].value)
        own = both if window is not None else []
        floors[name] = QualityFloor(
            usual[name].value,
            usual[name].error,
            total.rows,
            tuple(e.value for e, _ in own),
            tuple(e.error for e, _ in own),
        )
    return Estimation(None, curves, floors, backtests)


def _out_of_fold(
    family: Family, given: Given, columns: Sequence[Column], fold: NDArray[np.int64]
) -> tuple[Matrix, dict[str, Curve]]:
    """What is expected of each row by what was learned from the other folds; and the curves over all rows."""
    names, targets = family.names(given), family.targets(given)
    signal = np.zeros(targets.shape)
    for number in range(FOLDS):
        own = fold == number
        if own.any():
            signal[own] = family.signal(family.learned(given.take(~own), columns), given.take(own))
    expected = np.zeros(targets.shape)
    for number in range(FOLDS):
        own = fold == number
        if own.any():
            curves = family.calibrated(names, signal[~own], targets[~own])
            expected[own] = family.expected(signal[own], curves, given.take(own))
    return expected, family.calibrated(names, signal, targets)


def _folds(window: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each row's fold: whole windows, neighbours in one fold, for neighbours are alike."""
    numbers, place = np.unique(window, return_inverse=True)
    if len(numbers) < FOLDS:
        return np.arange(len(window)) * FOLDS // len(window)
    return np.asarray((np.arange(len(numbers)) * FOLDS // len(numbers))[place])


def _chunks(rows: int) -> NDArray[np.int64]:
    chunks = max(1, min(CHUNKS, rows // LEAST_ROWS))
    return np.asarray(np.arange(rows) * chunks // rows)


def _windows(group: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """The places of each window's rows, in order, of windows with enough of them."""
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return [places for places in parts if group[places[0]] >= 0 and len(places) >= LEAST_ROWS]
