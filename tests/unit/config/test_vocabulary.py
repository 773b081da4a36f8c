"""The words that a configuration may use are those that something is registered under."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import get_args

from daemon.config.settings import Model
from daemon.config.vocabulary import ESTIMATED_METRICS, EVIDENTLY_TESTS, FORMATS, METHODS, NEEDS_SCORE, QUALITY_METRICS
from daemon.stream.formats import formats
from detectors import drift, quality
from detectors.estimation.family import FAMILIES


def test_methods() -> None:
    assert {name: set(kinds) for name, kinds in METHODS.items()} == {
        method.name: {kind.value for kind in method.thresholds} for method in drift.METHODS
    }


def test_evidently_s_tests() -> None:
    # In a process of its own: Evidently takes hundreds of megabytes and warns on import.
    program = """
from importlib import import_module
import_module("evidently.legacy.calculations.stattests")
found = import_module("evidently.legacy.calculations.stattests.registry")._registered_stat_tests
words = {"Numerical": "numeric", "Categorical": "categorical"}
kinds = {name: sorted(words[kind.name] for kind in kinds if kind.name in words) for name, kinds in found.items()}
print({name: tuple(found) for name, found in kinds.items() if found})
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "DO_NOT_TRACK": "1"})
    assert ast.literal_eval(done.stdout) == {name: tuple(sorted(kinds)) for name, kinds in EVIDENTLY_TESTS.items()}


def test_metrics() -> None:
    assert {(task, name) for task, names in QUALITY_METRICS.items() for name in names} == {
        (metric.task, metric.name) for metric in quality.METRICS
    }
    assert {metric.name for metric in quality.METRICS if metric.scored} == NEEDS_SCORE


def test_estimated_metrics() -> None:
    for task, names in ESTIMATED_METRICS.items():
        assert task in FAMILIES
        assert set(names) < set(QUALITY_METRICS[task])
    assert set(FAMILIES.names()) == {*ESTIMATED_METRICS, "multiclass"}


def test_tasks() -> None:
    assert set(get_args(Model.model_fields["task"].annotation)) == set(QUALITY_METRICS)


def test_formats() -> None:
    assert sorted(FORMATS) == sorted(formats())
