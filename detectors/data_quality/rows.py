"""How many rows there are."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.data_quality.check import check
from detectors.findings import Finding, Signal, Verdict
from detectors.judgement import Measurement, Share
from detectors.window import Window

FACTOR = 1.5
"""A window with one and a half times the usual rows, or with two thirds of them, matters."""


@check("rows", whole=True)
def rows(window: Window) -> Iterator[Measurement]:
    """The rows of all versions against those of the reference's windows; nothing without such windows."""
    usual = window.usual_rows()
    if usual is None:
        return
    count = window.rows
    threshold = usual.mean * FACTOR if count >= usual.mean else usual.mean / FACTOR
    low, high = usual.band()
    finding = Finding(
        Signal.DATA_QUALITY,
        "rows",
        Verdict.OK,
        rows=count,
        value=float(count),
        threshold=threshold,
        noise_floor=high if count >= usual.mean else low,
        p_value=usual.p_value(count),
        usual=usual.mean,
        current=float(count),
        driver=f"rows: {usual.mean:.0f} → {count} (usual {low:.0f} to {high:.0f})",
    )
    large = count >= threshold if count >= usual.mean else count <= threshold
    yield Measurement(finding, Share.VOLUME, large, bad=Verdict.VIOLATED, muted=window.muted)
