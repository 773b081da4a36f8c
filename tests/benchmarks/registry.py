"""The list of benchmarks; each one's module adds itself, and yields figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

NAMES = ("ingest", "verdict", "many_models", "memory", "verdicts", "estimation", "latency")
"""Benchmarks, each a module of `tests.benchmarks`, in the order in which they run."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure's ratio, or its value where it has no peer, is held against."""

    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        """Whether the value is within the target."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def as_json(self) -> dict[str, float]:
        """The bound or bounds that are set."""
        bounds = {"at_least": self.at_least, "at_most": self.at_most}
        return {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, beside the peer's of the same run where there is one.

    `peer` names what was measured beside driftd, with its version. `ratio` is formed so that more is better for
    driftd; where rounds were measured in pairs it is their median, and so not exactly the quotient of the two values.
    """

    case: str
    unit: str
    driftd: float
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    target: Target | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.target.met(self.driftd if self.ratio is None else self.ratio)

    def as_json(self) -> dict[str, Any]:
        """The figure with everything that is set, values to six significant digits."""
        shown: dict[str, Any] = {"case": self.case, "unit": self.unit, "driftd": self.driftd}
        if self.peer is not None:
            shown |= {"peer": self.peer, "peer_value": self.peer_value}
        if self.ratio is not None:
            shown["ratio"] = self.ratio
        if self.target is not None:
            shown |= {"target": self.target.as_json(), "met": self.met}
        if self.details:
            shown["details"] = self.details
        return {name: _rounded(value) for name, value in shown.items()}


@dataclass(frozen=True, slots=True)
class Run:
    """What a benchmark is given: a folder of its own to write to, and whether to take its full size."""

    folder: Path
    full: bool = False

    def say(self, text: str) -> None:
        """Tell a waiting person how far it is."""
        print(f"    {text}", file=sys.stderr, flush=True)


Measure = Callable[[Run], Iterator[Figure]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A registered benchmark: its name, what it measures in one sentence, and how."""

    name: str
    sentence: str
    measure: Measure


_REGISTERED: dict[str, Benchmark] = {}


def benchmark(name: str, sentence: str) -> Callable[[Measure], Measure]:
    """Registers a function that yields the figures of one benchmark."""

    def register(measure: Measure) -> Measure:
        _REGISTERED[name] = Benchmark(name, sentence, measure)
        return measure

    return register


def load(name: str) -> Benchmark:
    """The benchmark of that name, which is one of NAMES; its module, and all that it needs, is imported now."""
    import_module(f"tests.benchmarks.{name}")
    return _REGISTERED[name]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value
