"""From logged values to the rows that a task is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from detectors.quality.classes import class_rows
from detectors.quality.rows import BINARY, MULTICLASS, REGRESSION, Logged, ReadRows, Terms, binary_rows, regression_rows

_READERS: Mapping[str, Callable[[Logged, Terms], ReadRows]] = {
    REGRESSION: lambda logged, _: regression_rows(logged),
    BINARY: lambda logged, terms: binary_rows(logged, terms.positive_label),
    MULTICLASS: lambda logged, terms: class_rows(logged, terms.classes),
}

TASKS = frozenset(_READERS)
"""The tasks whose quality can be measured."""


def read_rows(logged: Logged, terms: Terms) -> ReadRows:
    """The rows of the task that can be judged; ValueError when the task cannot be, or lacks what it is judged by."""
    if terms.task not in _READERS:
        known = ", ".join(sorted(_READERS))
        raise ValueError(f"quality of task {terms.task!r} cannot be measured; known: {known}")
    return _READERS[terms.task](logged, terms)
