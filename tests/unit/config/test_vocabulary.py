"""The words that a configuration may use are those that something is registered under."""

from __future__ import annotations

from typing import get_args

from daemon.config.settings import Model
from daemon.config.vocabulary import FORMATS, METHODS, NEEDS_SCORE, QUALITY_METRICS
from daemon.stream.formats import formats
from detectors import drift, quality


def test_methods() -> None:
    assert sorted(METHODS) == sorted(drift.METHODS.names())


def test_metrics() -> None:
    assert {(task, name) for task, names in QUALITY_METRICS.items() for name in names} == {
        (metric.task, metric.name) for metric in quality.METRICS
    }
    assert {metric.name for metric in quality.METRICS if metric.scored} == NEEDS_SCORE


def test_tasks() -> None:
    assert set(get_args(Model.model_fields["task"].annotation)) == set(QUALITY_METRICS)


def test_formats() -> None:
    assert sorted(FORMATS) == sorted(formats())
