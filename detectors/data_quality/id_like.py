"""Columns that name rows, not kinds."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.data_quality.check import check
from detectors.findings import Finding, Signal, Verdict
from detectors.judgement import Measurement, Share
from detectors.window import Window


@check("id_like")
def id_like(window: Window) -> Iterator[Measurement]:
    """Says of each id-like column that nothing tests it for drift."""
    for column in window.columns:
        if column.id_like:
            finding = Finding(
                Signal.DATA_QUALITY,
                "id_like",
                Verdict.OK,
                column.name,
                window.version,
                rows=window.rows,
                detail="id-like: no drift test; only missing and mistyped values are watched",
            )
            yield Measurement(finding, Share.DATA_QUALITY, settled=True)
