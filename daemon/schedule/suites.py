"""A model's own Evidently suite over a window; runs in a worker process."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daemon.schedule.tasks import Cells, QualityTask, SuiteTask
from detectors.findings import Finding
from detectors.predicted import read_scored
from detectors.quality.rows import Logged
from detectors.reference import Reference
from detectors.sample import Sample
from detectors.suite.evaluation import joined_suite, sampled_suite


def judge_sampled(task: SuiteTask) -> tuple[Finding, ...]:
    """The findings of what needs no label, from the window's sample."""
    reference = Reference.from_bytes(task.reference)
    window = None
    if task.samples:
        window = Sample.merge([Sample.from_bytes(reference.layout, data) for data in task.samples]).to_frame()
    return tuple(sampled_suite(task.rules, reference.sample, window, reference.columns, task.rows))


def judge_joined(task: QualityTask) -> tuple[Finding, ...]:
    """The findings of what needs the label, from the window's joined predictions."""
    prediction = _values([read_scored(value)[0] for value in task.prediction])
    score, label = _values(task.score), _values(task.label)
    logged = None
    if label is not None and (prediction is not None or score is not None):
        logged = Logged(label, prediction, score)
    return tuple(joined_suite(task.rules, Reference.from_bytes(task.reference).sample, logged))


def _values(values: Cells) -> NDArray[np.object_] | None:
    """Values as they were logged; None where there is none at all."""
    if all(value is None for value in values):
        return None
    return np.array(values, dtype=object)
