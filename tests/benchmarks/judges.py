"""Three judges of the same windows: driftd as production runs it, Evidently's defaults, and a common rule of thumb."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from daemon.incidents.board import Board, Observation, step
from daemon.incidents.grouping import ChangeKind
from daemon.incidents.policy import Policy
from detectors.columns import infer_columns
from detectors.evaluation import DriftInput, EvaluationResult, evaluate_drift
from detectors.findings import Finding, Signal
from detectors.instants import DAY, Micros
from detectors.reference import Reference, WindowLength, build_reference
from detectors.rules import Rules
from detectors.variation import WindowVector
from tests.benchmarks import data
from tests.benchmarks.windows import partial

SIGMAS = 3.0
LONGEST_WAIT = 10
"""So many windows are waited for an incident."""


@dataclass(frozen=True)
class Judge:
    """A model in production: its reference, and what windows of a day are held against."""

    reference: Reference
    stored: bytes
    rules: Rules

    @classmethod
    def of(
        cls,
        before: Sequence[pd.DataFrame],
        rules: Rules,
        *,
        times: bool = True,
        segment_by: Sequence[tuple[str, ...]] = (),
    ) -> Judge:
        """A reference of these days; a column `at` has the microsecond of its day at which each row came, if any."""
        instants = [data.START - (len(before) - i) * DAY + _at(day) for i, day in enumerate(before)]
        frame = pd.concat([_features(day) for day in before], ignore_index=True)
        reference = build_reference(
            frame,
            infer_columns(frame, roles={}, declared={}, exclude=()),
            event_time=np.concatenate(instants) if times else None,
            label=None,
            window=WindowLength(DAY, DAY),
            segment_by=segment_by,
            task="none",
        )
        return cls(reference, reference.to_bytes(), rules)

    def evaluate(self, window: pd.DataFrame, number: int, *, live: tuple[bytes, ...] = ()) -> EvaluationResult:
        """The verdict on the rows of the day of that number after the reference."""
        start: Micros = data.START + number * DAY
        blob, _ = partial(self.reference.layout, _features(window))
        return evaluate_drift(
            DriftInput(start, start + DAY, self.stored, live, {data.VERSION: (blob,)}, {}, self.rules)
        )

    def over_sigmas(self, result: EvaluationResult) -> set[str]:
        """The columns whose distance is over mean + 3 sigma of the distances of the reference's own windows."""
        if result.vector is None:
            return set()
        own = np.stack([vector.distance for vector in self.reference.windows])
        limits = own.mean(axis=0) + SIGMAS * own.std(axis=0)
        distance = WindowVector.from_bytes(result.vector).distance
        return {column.name for column, over in zip(self.reference.columns, distance > limits, strict=True) if over}


def _at(day: pd.DataFrame) -> np.ndarray:
    return day["at"].to_numpy() if "at" in day else np.arange(len(day)) * DAY // len(day)


def _features(day: pd.DataFrame) -> pd.DataFrame:
    return day.drop(columns="at", errors="ignore")


def drifted(result: EvaluationResult, *, segments: bool = False) -> set[str]:
    """The columns whose drift was flagged, over all rows or in some segment."""
    drift = [f for f in result.findings if f.flagged and f.signal is Signal.FEATURE_DRIFT]
    return {str(f.column) for f in drift if (f.segment is not None) is segments}


def flagged(result: EvaluationResult) -> set[str]:
    """The columns of which anything was flagged, drift or the data's quality."""
    return {str(f.column) for f in result.findings if f.flagged and f.column is not None}


def evidently_defaults(before: Sequence[pd.DataFrame]) -> Callable[[pd.DataFrame, Collection[str]], set[str]]:
    """Which of the named columns Evidently's own choice of test and threshold flags in a window."""
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("evidently.legacy.calculations.stattests")
        choose: Any = import_module("evidently.legacy.calculations.stattests.registry").get_stattest
        kinds: Any = import_module("evidently.legacy.core").ColumnType
    frame = pd.concat([_features(day) for day in before], ignore_index=True)
    kind_of = {
        str(name): kinds.Numerical if pd.api.types.is_numeric_dtype(frame[name]) else kinds.Categorical
        for name in frame.columns
    }
    usable = {name: frame[name].dropna() for name in kind_of}

    def flagged_in(window: pd.DataFrame, columns: Collection[str]) -> set[str]:
        found = set()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for name in columns:
                now, kind = window[name].dropna(), kind_of[name]
                if len(now) and choose(usable[name], now, kind, None)(usable[name], now, kind, None).drifted:
                    found.add(name)
        return found

    return flagged_in


def opened(windows: Sequence[Sequence[Finding]], policy: Policy, *, kind: str = "drift") -> Iterator[int]:
    """The number of each window, of consecutive days, in which an incident opens."""
    board = Board("model")
    for number, findings in enumerate(windows):
        start = data.START + number * DAY
        seen = Observation("drift" if kind == "drift" else "quality", start, start + DAY, findings)
        taken = step(board, seen, policy, start + DAY)
        board = taken.board
        yield from [number for change in taken.changes if change.kind is ChangeKind.OPENED]


def delay(windows: Sequence[Sequence[Finding]], policy: Policy, *, kind: str = "drift") -> float | None:
    """The median number of changed windows until an incident opens; None where mostly none opens in ten."""
    waits = []
    for first in range(max(1, len(windows) - LONGEST_WAIT + 1)):
        number = next(opened(windows[first : first + LONGEST_WAIT], policy, kind=kind), None)
        waits.append(np.inf if number is None else number + 1.0)
    median = float(np.median(waits))
    return median if np.isfinite(median) else None


def loud(reference: Reference, for_windows: int = 2) -> Policy:
    """A policy under which each column's drift may open an incident, not the prediction's and quality's alone."""
    return Policy(for_windows=for_windows, important=frozenset(column.name for column in reference.columns))


def percent(hits: Sequence[bool]) -> float:
    """The share of hits in percent."""
    return 100 * sum(hits) / max(1, len(hits))


def alone(result: EvaluationResult, level: float) -> set[str]:
    """The columns whose drift would be flagged at that level if each were the model's only one."""
    return {
        str(f.column)
        for f in result.findings
        if f.signal is Signal.FEATURE_DRIFT
        and f.p_value is not None
        and f.value is not None
        and f.threshold is not None
        and f.p_value <= level
        and f.value >= f.threshold
    }
