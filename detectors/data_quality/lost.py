"""Fields that are gone."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.data_quality.check import check, rule
from detectors.findings import Signal
from detectors.judgement import Measurement
from detectors.window import Window

USUALLY_THERE = 0.5
"""A column that the reference had in fewer rows than this can be away for a window."""


@check("lost")
def lost(window: Window) -> Iterator[Measurement]:
    """Whether a column has no value at all in the window: 1 where it is gone, 0 elsewhere; a rule of the schema."""
    for column in window.columns:
        gone = window.cells.missing[column.name] == 1.0
        usual = window.usual.missing[column.name]
        if usual > 1 - USUALLY_THERE:
            continue
        yield rule(
            window,
            "lost",
            column.name,
            violated=gone,
            signal=Signal.SCHEMA,
            value=float(gone),
            threshold=1.0,
            usual=0.0,
            current=float(gone),
            driver=f"{column.name} is gone from every row" if gone else None,
        )
