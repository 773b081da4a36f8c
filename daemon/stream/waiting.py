"""What is kept of a prediction while it waits for its label, where that is more than its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.stream.spec import Spec
from detectors.predicted import MAX_SCORED_CLASSES, scored_text


@dataclass(frozen=True, slots=True)
class Waiting:
    """The texts to keep, one a row, and of how many rows a part was cut off for its size."""

    texts: Sequence[str | float | None]
    cut: int


Keep = Callable[[Mapping[str, Sequence[Any]]], Waiting]


def keeping(spec: Spec) -> Keep | None:
    """How decoded columns become what is kept; None where the prediction's own value is all."""
    return _scored if spec.fields.scores is not None else None


def _scored(columns: Mapping[str, Sequence[Any]]) -> Waiting:
    scores = columns["scores"]
    texts = [scored_text(value, given) for value, given in zip(columns["prediction"], scores, strict=True)]
    return Waiting(texts, sum(given is not None and len(given) > MAX_SCORED_CLASSES for given in scores))
