"""From logged values to the rows that a task is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from detectors.quality.classes import class_rows
from detectors.quality.requests import Catalogue, request_rows
from detectors.quality.rows import (
    BINARY,
    MULTICLASS,
    RECOMMENDATION,
    REGRESSION,
    Logged,
    ReadRows,
    binary_rows,
    regression_rows,
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What rows are read by besides themselves: the task, its settings, and what the reference has.

    `k` is how many items of a list are judged, `classes` and `catalogue` are those of the reference.
    """

    task: str
    positive_label: str = "1"
    k: int = 10
    classes: Sequence[str] = ()
    catalogue: Catalogue = field(default_factory=Catalogue)


_READERS: Mapping[str, Callable[[Logged, Terms], ReadRows]] = {
    REGRESSION: lambda logged, _: regression_rows(logged),
    BINARY: lambda logged, terms: binary_rows(logged, terms.positive_label),
    MULTICLASS: lambda logged, terms: class_rows(logged, terms.classes),
    RECOMMENDATION: lambda logged, terms: request_rows(logged, terms.k, terms.catalogue),
}

TASKS = frozenset(_READERS)
"""The tasks whose quality can be measured."""


def read_rows(logged: Logged, terms: Terms) -> ReadRows:
    """The rows of the task that can be judged; ValueError when the task cannot be, or lacks what it is judged by."""
    if terms.task not in _READERS:
        known = ", ".join(sorted(_READERS))
        raise ValueError(f"quality of task {terms.task!r} cannot be measured; known: {known}")
    return _READERS[terms.task](logged, terms)
