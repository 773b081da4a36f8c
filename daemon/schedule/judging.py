"""Judging the joined labels of a window; runs in a worker process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from detectors.evaluation import EvaluationResult, evaluate_quality
from detectors.instants import Micros
from detectors.quality_evaluation import QualityInput
from detectors.rules import Rules
from detectors.values import value_text

Cells = Sequence[float | str | None]


@dataclass(frozen=True, slots=True)
class QualityTask:
    """A window's joined predictions as plain columns of equal length; `segments` is JSON text.

    Plain, because Arrow's memory is the worker's to pay, not the daemon's.
    """

    start: Micros
    end: Micros
    reference: bytes
    rules: Rules
    version: Sequence[str]
    prediction: Cells
    score: Cells
    label: Cells
    segments: Sequence[str]
    expected: int


def judge_quality(task: QualityTask) -> EvaluationResult:
    """The findings of a window's quality."""
    table = pa.table(
        {
            "version": pa.array(list(task.version), pa.string()),
            "prediction": _cells(task.prediction),
            "score": _cells(task.score),
            "label": _cells(task.label),
            "seg": pa.array(list(task.segments), pa.string()),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return evaluate_quality(
        QualityInput(
            start=task.start,
            end=task.end,
            reference=task.reference,
            rules=task.rules,
            frame=sink.getvalue().to_pybytes(),
            expected=task.expected,
            joined=len(task.label),
        )
    )


def _cells(values: Cells) -> pa.Array:
    """Numbers as they are; one text among them makes all of them texts, as categories are compared by their text."""
    if any(isinstance(value, str) for value in values):
        return pa.array([None if value is None else value_text(value) for value in values], pa.string())
    return pa.array(list(values), pa.float64())
