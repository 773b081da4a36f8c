"""What a quality metric is, and the registry of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.quality.rows import Rows
from detectors.registry import Registry

Z = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""


class Worse(StrEnum):
    """The direction in which a metric is worse; `FARTHER` is away from zero on either side."""

    HIGHER = "higher"
    LOWER = "lower"
    FARTHER = "farther"


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric over some rows: its value, its standard error and its 95 % interval in the metric's own unit.

    Errors take the rows as independent; what windows add to that, the reference's own windows say. `rows` are those
    that the metric could use. The value is NaN where it is not defined, and `detail` says why.
    """

    value: float
    error: float
    low: float
    high: float
    rows: int
    detail: str | None = None

    @classmethod
    def undefined(cls, reason: str, rows: int = 0) -> Measured:
        return cls(math.nan, math.nan, math.nan, math.nan, rows, reason)

    @classmethod
    def normal(
        cls,
        value: float,
        error: float,
        rows: int,
        bounds: tuple[float, float] = (-math.inf, math.inf),
        detail: str | None = None,
    ) -> Measured:
        """The interval value +- 1.96 standard errors, cut off at the metric's bounds."""
        low, high = max(bounds[0], value - Z * error), min(bounds[1], value + Z * error)
        return cls(float(value), float(error), float(low), float(high), rows, detail)

    @classmethod
    def mean(
        cls,
        values: NDArray[np.float64],
        bounds: tuple[float, float] = (-math.inf, math.inf),
        detail: str | None = None,
    ) -> Measured:
        """A metric that is the mean of one number a row."""
        rows = len(values)
        error = float(np.std(values)) / math.sqrt(max(1, rows - 1))
        return cls.normal(float(np.mean(values)), error, rows, bounds, detail)

    @classmethod
    def share(cls, hits: float, rows: int) -> Measured:
        """A metric that is a share of rows, with Wilson's interval (Wilson 1927)."""
        p = hits / rows
        middle = (p + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
        half = Z * math.sqrt(p * (1 - p) / rows + Z**2 / (4 * rows**2)) / (1 + Z**2 / rows)
        # Agresti's error keeps a share of 0 or 1 from looking certain.
        adjusted = (hits + 2) / (rows + 4)
        error = math.sqrt(adjusted * (1 - adjusted) / (rows + 4))
        return cls(p, error, max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half)), rows)


@dataclass(frozen=True, slots=True)
class QualityMetric:
    """A named measure of how good a task's predictions were; `scored` ones need scores."""

    name: str
    task: str
    worse: Worse
    scored: bool
    of_rows: Callable[[Any], Measured]

    def measure(self, rows: Rows) -> Measured:
        """The metric over `rows`, of the metric's own task.

        Undefined without rows, or without the scores that it needs; rows without one are left out and counted.
        """
        if not len(rows):
            return Measured.undefined("no row has both a prediction and a label")
        usable: Rows | str = rows.scored() if self.scored else rows
        if isinstance(usable, str):
            return Measured.undefined(usable)
        if not len(usable):
            return Measured.undefined("no row has usable scores")
        with np.errstate(over="ignore", invalid="ignore"):
            measured = self.of_rows(usable)
        if not math.isfinite(measured.value) and measured.detail is None:
            return Measured.undefined("not a finite number on these rows", measured.rows)
        if len(usable) < len(rows):
            left_out = f"{len(rows) - len(usable)} of {len(rows)} rows left out: they have no usable score"
            measured = replace(measured, detail=f"{measured.detail}; {left_out}" if measured.detail else left_out)
        return measured


METRICS: Registry[QualityMetric] = Registry("quality metric", "detectors.quality")
"""Under `task.name`, for several tasks have an accuracy."""

R = TypeVar("R", bound=Rows)


def quality_metric(
    name: str, *, task: str, worse: Worse, scored: bool = False
) -> Callable[[Callable[[R], Measured]], Callable[[R], Measured]]:
    """Register the function below as the quality metric `name` of `task`; it takes that task's kind of rows."""

    def add(function: Callable[[R], Measured]) -> Callable[[R], Measured]:
        METRICS.add(f"{task}.{name}", QualityMetric(name, task, worse, scored, function))
        return function

    return add


def metrics_of(task: str) -> dict[str, QualityMetric]:
    """The metrics of a task by name, in the order of their names; none for a task without quality."""
    return {metric.name: metric for metric in METRICS if metric.task == task}


def measure(task: str, rows: Rows) -> dict[str, Measured]:
    """Every metric of `task` over `rows`, by name."""
    return {name: metric.measure(rows) for name, metric in metrics_of(task).items()}
