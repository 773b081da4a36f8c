"""Faults put into a copy of rows, and the smallest of a fault that is found: what would be told if this went wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.errors import UnsuitableFault
from detectors.layout import Layout, NumericLayout

PRECISION = 0.05
"""The smallest fault is known to within this share of it."""


class Kind(StrEnum):
    """What goes wrong."""

    SHIFT = "shift"
    MISSING = "missing"
    SWAP = "swap"
    FREEZE = "freeze"
    UNIT = "unit"


LIMITS = {Kind.SHIFT: 16.0, Kind.MISSING: 1.0, Kind.UNIT: log(10_000.0)}
"""The largest magnitude that is tried of a fault that can be larger or smaller."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong from an instant on.

    `size` is how many standard deviations of the reference are added, which share of the values goes missing, or by
    what the values are multiplied; None for what has no size. A swap has two columns, every other fault one.
    """

    kind: Kind
    columns: tuple[str, ...]
    size: float | None = None

    @property
    def magnitude(self) -> float:
        """The size as a number that is 0 for no fault at all, and grows with it."""
        size = self.size or 0.0
        return abs(log(size)) if self.kind is Kind.UNIT else abs(size)

    def of_magnitude(self, magnitude: float) -> Fault:
        """The same fault, in the same direction, of another magnitude."""
        size = self.size or 0.0
        if self.kind is Kind.UNIT:
            return Fault(self.kind, self.columns, exp(magnitude if size > 1 else -magnitude))
        return Fault(self.kind, self.columns, magnitude if size >= 0 else -magnitude)


def check(fault: Fault, layout: Layout) -> None:
    """Raises UnsuitableFault when the layout has no such column, or one that this cannot happen to."""
    known = {column.name: column for column in layout.columns}
    for name in fault.columns:
        column = known.get(name)
        if column is None:
            raise UnsuitableFault(f"there is no column {name!r}; there are {', '.join(known)}")
        if fault.kind in (Kind.SHIFT, Kind.UNIT) and not isinstance(column, NumericLayout):
            raise UnsuitableFault(f"{name!r} is {column.type.value}: only a numeric column can have a {fault.kind}")
        if getattr(column, "id_like", False):
            raise UnsuitableFault(
                f"{name!r} is id-like: its values are not kept, and nothing but missing ones is found"
            )
    if len(set(fault.columns)) != len(fault.columns):
        raise UnsuitableFault("a column cannot be swapped with itself")


def inject(frame: pd.DataFrame, fault: Fault, deviation: float) -> pd.DataFrame:
    """The rows with the fault in all of them; `frame` is not changed.

    `deviation` is the standard deviation of the reference's column. Which values go missing follows from the rows'
    numbers alone: of a larger share they are the same ones and more. A frozen column keeps the first value that it has.
    """
    first = fault.columns[0]
    values = frame[first]
    match fault.kind:
        case Kind.SHIFT:
            return frame.assign(**{first: values + (fault.size or 0.0) * deviation})
        case Kind.UNIT:
            return frame.assign(**{first: values * (1.0 if fault.size is None else fault.size)})
        case Kind.MISSING:
            # The golden ratio's multiples are spread evenly, however many there are.
            lost = (np.arange(len(frame)) * 0.6180339887498949) % 1.0 < (fault.size or 0.0)
            return frame.assign(**{first: values.where(~lost, np.nan if values.dtype.kind == "f" else None)})
        case Kind.FREEZE:
            there = values[values.notna()]
            return frame if there.empty else frame.assign(**{first: [there.iloc[0]] * len(frame)})
        case Kind.SWAP:
            other = fault.columns[1]
            return frame.assign(**{first: frame[other], other: values})


def standard_deviation(values: NDArray[np.float64]) -> float:
    """The standard deviation of the finite numbers; 0 without any."""
    finite = values[np.isfinite(values)]
    return float(finite.std()) if len(finite) else 0.0


def smallest(found: Callable[[float], bool], start: float, limit: float) -> float | None:
    """The smallest magnitude that is found, to within 5 % above it; None when not even `limit` is.

    Whatever is larger than a magnitude that is found must be found too. From `start` it is doubled until it is found,
    then halved between what was found and what was not.

    >>> 3.0 <= smallest(lambda size: size >= 3.0, 1.0, 16.0) <= 3.15
    True
    >>> smallest(lambda size: size >= 20.0, 1.0, 16.0) is None
    True
    """
    low, high = 0.0, min(start, limit)
    while not found(high):
        if high >= limit:
            return None
        low, high = high, min(2 * high, limit)
    while high - low > PRECISION * high and high > 1e-6 * limit:
        middle = (low + high) / 2
        if found(middle):
            high = middle
        else:
            low = middle
    return high


_SHIFT = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+))\s*(?:sd)?")


def parse_shift(text: str) -> float:
    """How many standard deviations: `0.5sd`, `-2sd`, or the number alone. Raises ValueError.

    >>> parse_shift("0.5sd"), parse_shift("-2")
    (0.5, -2.0)
    """
    match = _SHIFT.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is no shift; write how many standard deviations, such as 0.5sd or -2sd")
    return float(match[1])
