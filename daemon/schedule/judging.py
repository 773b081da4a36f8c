"""Judging a window; runs in a worker process."""

from __future__ import annotations

import pyarrow as pa

from daemon.schedule.tasks import Cells, QualityTask, Verdicts
from detectors.drift_input import DriftInput
from detectors.evaluation import EvaluationResult, QualityInput, evaluate_drift, evaluate_quality
from detectors.predicted import read_scored
from detectors.quality.rows import RECOMMENDATION
from detectors.values import value_text


def judge_drift(given: DriftInput) -> Verdicts:
    """The findings of a window's drift and data quality."""
    return _verdicts(evaluate_drift(given))


def judge_quality(task: QualityTask) -> Verdicts:
    """The findings of a window's quality."""
    given = _lists(task) if task.rules.task == RECOMMENDATION else _values(task)
    table = pa.table(
        {
            "version": pa.array(list(task.version), pa.string()),
            **given,
            "seg": pa.array(list(task.segments), pa.string()),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return _verdicts(
        evaluate_quality(
            QualityInput(
                start=task.start,
                end=task.end,
                reference=task.reference,
                rules=task.rules,
                frame=sink.getvalue().to_pybytes(),
                expected=task.expected,
                joined=task.labelled,
            )
        )
    )


def _verdicts(result: EvaluationResult) -> Verdicts:
    return Verdicts(result.findings, result.rows, result.vector)


def _values(task: QualityTask) -> dict[str, pa.Array]:
    scored = [read_scored(value) for value in task.prediction]
    return {
        "prediction": _cells([prediction for prediction, _ in scored]),
        "score": _cells(task.score),
        "scores": pa.array([scores for _, scores in scored], pa.string()),
        "label": _cells(task.label),
    }


def _lists(task: QualityTask) -> dict[str, pa.Array]:
    return {
        "prediction": pa.array(list(task.prediction), pa.string()),
        "label": pa.array(list(task.label), pa.string()),
    }


def _cells(values: Cells) -> pa.Array:
    """Numbers as they are; one text among them makes all of them texts, as categories are compared by their text."""
    if any(isinstance(value, str) for value in values):
        return pa.array([None if value is None else value_text(value) for value in values], pa.string())
    return pa.array(list(values), pa.float64())
