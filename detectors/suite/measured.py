"""What one of Evidently's metrics measured, without any of Evidently's own classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

PHRASES = {
    "eq": "equal to",
    "not_eq": "other than",
    "gt": "above",
    "gte": "at least",
    "lt": "below",
    "lte": "at most",
    "is_in": "one of",
    "not_in": "none of",
}
"""Evidently's tests as people say them."""


class Outcome(StrEnum):
    """What one of Evidently's tests says."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Tested:
    """One test of one value: its limit, None where it is no single number, and the test in words."""

    outcome: Outcome
    limit: float | None
    said: str
    of_reference: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a metric: where in the metric's result it stands, the reference's value, and the tests on it.

    `place` is empty for a result that is one number, else the words that tell its values apart.
    """

    place: tuple[str, ...]
    value: float
    reference: float | None = None
    tests: tuple[Tested, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric's result, or in `error` why there is none.

    `metric` is its class, `about` the module of Evidently's that defines it; `parameters` are those with which it was
    made, as text, without its column. `how` names the method that Evidently chose for the values, where it chose one.
    """

    metric: str
    about: str
    column: str | None
    parameters: dict[str, str] = field(default_factory=dict)
    values: Sequence[Value] = ()
    undecided: Sequence[str] = ()
    how: str | None = None
    error: str | None = None


def approximate(reference: float, relative: float | None, absolute: float | None, test: str, value: float) -> float:
    """The number that a test against the reference really compares with: Evidently's tolerance on the side that counts.

    >>> approximate(10.0, 0.1, None, "lte", 12.0), approximate(10.0, 0.1, None, "eq", 3.0)
    (11.0, 9.0)
    """
    tolerance = max(abs(reference) * (1e-6 if relative is None else relative), 1e-12 if absolute is None else absolute)
    match test:
        case "lte" | "gt":
            return reference + tolerance
        case "gte" | "lt":
            return reference - tolerance
        case _:
            return reference + math.copysign(tolerance, value - reference)
