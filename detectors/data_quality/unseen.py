"""Categories that the reference never had."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.data_quality.check import check, share_text, unusual
from detectors.judgement import Measurement
from detectors.layout import CategoricalLayout
from detectors.window import Window

LIMIT = 0.01
SHOWN = 3


@check("unseen")
def unseen(window: Window) -> Iterator[Measurement]:
    """The share of values that the reference never had, by categorical column; one point above the usual matters.

    The usual share is what each of the ordinary windows had that the others had not.
    """
    for column in window.columns:
        if not isinstance(column, CategoricalLayout) or column.id_like:
            continue
        counts = window.cells.counts(column.name)
        present, total = max(1, int(counts.sum())), int(counts[-1])
        usual = window.noise.unseen(column.name, present)
        expected, share = usual.mean / present, total / present
        driver = None
        if total:
            kept = window.profile.unseen(column.name).kept
            commonest = sorted(kept.items(), key=lambda pair: (-pair[1], pair[0]))[:SHOWN]
            listed = ", ".join(f"{text} {count}" for text, count in commonest)
            driver = f"{column.name} unseen: {share_text(share)} ({listed})"
        yield unusual(
            window,
            "unseen",
            column.name,
            large=share >= expected + LIMIT,
            p_value=usual.at_least(total),
            value=share,
            threshold=expected + LIMIT,
            noise_floor=usual.band()[1] / present,
            usual=expected,
            current=share,
            driver=driver,
        )
