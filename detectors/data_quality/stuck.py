"""Columns that are stuck at one value."""

from __future__ import annotations

import math
from collections.abc import Iterator

from detectors.data_quality.check import check, unusual
from detectors.judgement import Measurement
from detectors.layout import NumericLayout
from detectors.window import Window


@check("stuck")
def stuck(window: Window) -> Iterator[Measurement]:
    """The share of a column's values that its commonest cell holds; 1, where it was not so before, matters.

    The p-value is the chance that so many values drawn from the reference all fall into one cell.
    """
    for column in window.columns:
        if column.constant or column.id_like:
            continue
        counts = window.cells.counts(column.name)
        present = int(counts.sum())
        if not present:
            continue
        place = int(counts.argmax())
        share = int(counts[place]) / present
        frozen = share == 1.0 and (
            not isinstance(column, NumericLayout)
            or window.profile.minimum(column.name) == window.profile.maximum(column.name)
        )
        before = window.usual.counts(column.name)
        usual = float(before[place] / max(1, before.sum()))
        yield unusual(
            window,
            "stuck",
            column.name,
            large=frozen,
            p_value=float(((before / max(1, before.sum())) ** present).sum()) if frozen else 1.0,
            value=share if frozen else min(share, math.nextafter(1.0, 0.0)),
            threshold=1.0,
            usual=usual,
            current=share,
            driver=f"{column.name} is the same in every row" if frozen else None,
        )
