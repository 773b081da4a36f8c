"""Values of the wrong type: a column that turned from number to text."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.data_quality.check import check, rule, share_text
from detectors.findings import Signal
from detectors.judgement import Measurement
from detectors.window import Window

LIMIT = 0.01


@check("mistyped")
def mistyped(window: Window) -> Iterator[Measurement]:
    """The share of rows whose value is of another type than the reference's, by column; a rule of the schema."""
    for column in window.columns:
        share = window.cells.mistyped[column.name]
        yield rule(
            window,
            "mistyped",
            column.name,
            violated=share >= LIMIT,
            signal=Signal.SCHEMA,
            value=share,
            threshold=LIMIT,
            usual=0.0,
            current=share,
            driver=f"{column.name}: {share_text(share)} of the values are no longer {column.type.value}",
        )
