"""Infinite values in numeric columns."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.data_quality.check import check, share_text, unusual
from detectors.judgement import Measurement
from detectors.layout import NumericLayout
from detectors.window import Window

LIMIT = 0.01


@check("nonfinite")
def non_finite(window: Window) -> Iterator[Measurement]:
    """The share of rows whose number is infinite, by numeric column; one point above the usual matters."""
    for column in window.columns:
        if not isinstance(column, NumericLayout):
            continue
        share, usual = window.cells.non_finite[column.name], window.usual.non_finite[column.name]
        count = round(share * window.rows)
        yield unusual(
            window,
            "nonfinite",
            column.name,
            large=share >= usual + LIMIT,
            p_value=window.rare(usual).at_least(count) if count else 1.0,
            value=share,
            threshold=usual + LIMIT,
            usual=usual,
            current=share,
            driver=f"{column.name} infinite: {share_text(usual)} → {share_text(share)}" if count else None,
        )
