"""Numbers outside an explicit range."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detectors.data_quality.check import check, rule, share_text
from detectors.findings import Signal
from detectors.judgement import Measurement
from detectors.layout import NumericLayout
from detectors.window import Window


@check("out_of_range")
def out_of_range(window: Window) -> Iterator[Measurement]:
    """The share of rows outside `minimum` .. `maximum`, for columns with such a rule; one row violates it.

    Whether a row is outside is exact; the share takes each of the profile's cells at its position.
    """
    for column in window.columns:
        limits = window.rule(column.name)
        if not isinstance(column, NumericLayout) or (limits.minimum is None and limits.maximum is None):
            continue
        low = -np.inf if limits.minimum is None else limits.minimum
        high = np.inf if limits.maximum is None else limits.maximum
        least, most = window.profile.minimum(column.name), window.profile.maximum(column.name)
        violated = bool(least < low or most > high)
        positions = window.profile.positions(column.name)
        outside = window.cells.counts(column.name)[(positions < low) | (positions > high)].sum()
        share = max(float(outside), float(violated)) / max(1, window.rows) if violated else 0.0
        yield rule(
            window,
            "out_of_range",
            column.name,
            violated=violated,
            signal=Signal.DATA_QUALITY,
            value=share,
            threshold=0.0,
            usual=0.0,
            current=share,
            driver=f"{column.name}: {share_text(share)} outside {low:g} to {high:g}, seen {least:g} to {most:g}"
            if violated
            else None,
        )
