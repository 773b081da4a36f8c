"""What a data-quality check is, and the registry of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from detectors.findings import Finding, Signal, Verdict
from detectors.judgement import Measurement, Share
from detectors.registry import Registry
from detectors.window import Window

FEWEST_ROWS = 20
"""Below this many rows not even a rule is looked at: one bad row of three is no share."""


@dataclass(frozen=True, slots=True)
class Check:
    """A named look at one version's window, or at the window of all versions together when `whole`."""

    name: str
    whole: bool
    of_window: Callable[[Window], Iterator[Measurement]]


CHECKS: Registry[Check] = Registry("data-quality check", "detectors.data_quality")


def check(
    name: str, *, whole: bool = False
) -> Callable[[Callable[[Window], Iterator[Measurement]]], Callable[[Window], Iterator[Measurement]]]:
    """Register the generator below as the data-quality check `name`."""

    def add(function: Callable[[Window], Iterator[Measurement]]) -> Callable[[Window], Iterator[Measurement]]:
        CHECKS.add(name, Check(name, whole, function))
        return function

    return add


def rule(window: Window, metric: str, column: str, *, violated: bool, signal: Signal, **fields: Any) -> Measurement:
    """A value that an explicit limit decides at once."""
    finding = Finding(signal, metric, Verdict.OK, column, window.version, None, window.rows, immediate=True, **fields)
    if window.rows < FEWEST_ROWS:
        return too_few(window, metric, column, FEWEST_ROWS, signal=signal)
    return Measurement(finding, Share.DATA_QUALITY, violated, rule=True, bad=Verdict.VIOLATED)


def unusual(
    window: Window, metric: str, column: str | None, *, large: bool, p_value: float, **fields: Any
) -> Measurement:
    """A value that must be large and more than ordinary variation."""
    if window.rows < window.rules.min_rows:
        return too_few(window, metric, column, window.rules.min_rows)
    finding = Finding(
        Signal.DATA_QUALITY, metric, Verdict.OK, column, window.version, None, window.rows, p_value=p_value, **fields
    )
    return Measurement(finding, Share.DATA_QUALITY, large, bad=Verdict.VIOLATED, muted=window.muted)


def too_few(
    window: Window, metric: str, column: str | None, needed: int, signal: Signal = Signal.DATA_QUALITY
) -> Measurement:
    """Nothing can be said: too few rows."""
    finding = Finding(
        signal,
        metric,
        Verdict.INSUFFICIENT_DATA,
        column,
        window.version,
        None,
        window.rows,
        detail=f"{window.rows} rows, {needed} are needed",
    )
    return Measurement(finding, Share.DATA_QUALITY, settled=True)


def share_text(share: float) -> str:
    """A share as people read it: "4 %", "0.3 %".

    >>> share_text(0.042), share_text(0.0031), share_text(0.0)
    ('4 %', '0.3 %', '0 %')
    """
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 1 or percent == 0 else f"{percent:.1g} %"
