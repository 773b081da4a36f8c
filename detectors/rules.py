"""What an evaluation is told: limits, methods and the level at which it may speak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """How one column is judged; None means the default of the column's type.

    `method` is `auto` or a named method; `threshold` is in that method's unit; `direction` is "up", "down" or None
    for both; `minimum` and `maximum` are an explicit range, `missing_maximum` a share in 0..1: rules, violated at once.
    """

    method: str = "auto"
    threshold: float | None = None
    direction: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    missing_maximum: float | None = None


@dataclass(frozen=True, slots=True)
class QualityLimit:
    """Limits of one quality metric; `worse_than_reference` is a relative share in 0..1."""

    maximum: float | None = None
    minimum: float | None = None
    worse_than_reference: float | None = None


@dataclass(frozen=True, slots=True)
class SuiteEntry:
    """One preset or metric of Evidently's own: its class and what its constructor is given.

    A parameter whose name ends in `tests` holds Evidently's tests by name, {"lte": 5}, or such mappings by label; a
    limit may be {"reference": {"relative": 0.1}}. `default_tests` asks for those that Evidently itself would run.
    `labelled` says that it needs the labels, so that it belongs to the evaluation of quality.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_preset: bool = False
    default_tests: bool = False
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything but data that decides a verdict. Instants and lengths are microseconds."""

    task: str = "none"
    size: int = 86_400_000_000
    every: int = 86_400_000_000
    min_rows: int = 200
    segment_min_rows: int = 500
    alarms_per_week: float = 1.0
    for_windows: int = 2
    columns: Mapping[str, ColumnRule] = field(default_factory=dict)
    quality: Mapping[str, QualityLimit] = field(default_factory=dict)
    positive_label: str = "1"
    k: int = 10
    suite: tuple[SuiteEntry, ...] = ()
