"""Any of Evidently's own drift tests, run by Evidently on rows.

Evidently takes seconds and hundreds of megabytes to import, so it is imported inside the call, in a worker process.
"""

from __future__ import annotations

import importlib
import math
import os
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.drift.points import Kind
from detectors.registry import UnknownName

PREFIX = "evidently:"
DISTANCES = frozenset({"ed", "hellinger", "jensenshannon", "kl_div", "psi", "wasserstein"})
"""Evidently's tests whose value grows with drift; the value of every other one is a p-value."""


@dataclass(frozen=True, slots=True)
class EvidentlyVerdict:
    """What one of Evidently's tests says: its value, the threshold it used, and whether it calls that drift."""

    value: float
    threshold: float
    drifted: bool


def is_evidently(method: str) -> bool:
    """Whether `method` names one of Evidently's tests: `evidently:mannw`."""
    return method.startswith(PREFIX)


def run_evidently(
    method: str,
    reference: NDArray[np.generic],
    window: NDArray[np.generic],
    kind: Kind,
    threshold: float | None = None,
) -> EvidentlyVerdict:
    """Evidently's test `method` ("evidently:NAME") on two 1-d arrays of rows without missing or infinite ones."""
    # No message about this run may leave the machine.
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        registry = importlib.import_module("evidently.legacy.calculations.stattests.registry")
        importlib.import_module("evidently.legacy.calculations.stattests")
        kinds = importlib.import_module("evidently.legacy.core").ColumnType
        name = method.removeprefix(PREFIX)
        column_type = kinds.Numerical if kind is Kind.NUMERIC else kinds.Categorical
        known = sorted(test for test, allowed in registry._registered_stat_tests.items() if column_type in allowed)
        if name not in known:
            raise UnknownName(f"test of Evidently for {kind} columns", name, tuple(known))
        test = registry.get_registered_stattest(name, column_type)
        result = test(pd.Series(reference), pd.Series(window), column_type, threshold)
    value = float(result.drift_score)
    return EvidentlyVerdict(value, float(result.actual_threshold), bool(result.drifted) and not math.isnan(value))
