"""Missing values: against what is usual, and against an explicit limit."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.coordinates import Kind
from detectors.data_quality.check import check, rule, share_text, unusual
from detectors.findings import Signal
from detectors.judgement import Measurement
from detectors.window import Window

POINTS = 0.02
"""A missing share matters when it is two points off."""


@check("missing")
def missing(window: Window) -> Iterator[Measurement]:
    """The share of rows without a value, by column; `missing_maximum` beside it where one is set."""
    for column in window.columns:
        test = window.share_test(column.name, Kind.MISSING)
        if test is None:
            continue
        share, usual = window.cells.missing[column.name], test.usual
        yield unusual(
            window,
            "missing",
            column.name,
            large=abs(share - usual) >= POINTS,
            p_value=test.p_value,
            value=share,
            # The limit on the side that the value is on, so that both can be drawn on one axis.
            threshold=usual + POINTS if share >= usual else max(0.0, usual - POINTS),
            usual=usual,
            current=share,
            driver=test.driver,
        )
        maximum = window.rule(column.name).missing_maximum
        if maximum is not None:
            yield rule(
                window,
                "missing_maximum",
                column.name,
                violated=share > maximum,
                signal=Signal.DATA_QUALITY,
                value=share,
                threshold=maximum,
                usual=usual,
                current=share,
                driver=f"{column.name} missing: {share_text(share)}, at most {share_text(maximum)} allowed",
            )
