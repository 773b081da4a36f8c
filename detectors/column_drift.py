"""The drift of every column of a window, in all of its rows and in each segment."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from detectors.budget import HIGHEST_LEVEL
from detectors.columns import Role
from detectors.coordinates import mid_ranks
from detectors.findings import Finding, Signal, Verdict
from detectors.judgement import Measurement, Share
from detectors.layout import CategoricalLayout, NumericLayout, Segmentation
from detectors.noise import CoordinateResult
from detectors.profile import Profile
from detectors.sizes import DIFFERING, ROBUST_WASSERSTEIN, TVD, Size, measure, measure_segments
from detectors.window import Window

AnyColumn = NumericLayout | CategoricalLayout
HELD = "held back: this column's own schema or data-quality line fires"


def total_drift(window: Window, held: Collection[str]) -> Iterator[Measurement]:
    """The drift of each column in all rows of the window.

    A column in `held`, whose own schema or data-quality line fires, keeps its value but gets no verdict: `no_data`
    neither raises nor ends a line. An error in one column is that column's finding.
    """
    for column in window.columns:
        if not column.id_like:
            try:
                yield _total(window, column, column.name in held)
            except Exception as error:  # noqa: BLE001 - one column must not take the others with it
                yield failed(window, column, error)


def segment_drift(window: Window, held: Collection[str]) -> Iterator[Measurement]:
    """The drift of each column in each segment that has rows, against the segment's own rows of the reference.

    A segment with fewer than `segment_min_rows` rows says nothing: one finding without a column says so.
    """
    layout = window.profile.layout
    if not layout.segmentations:
        return
    now, before = _segment_cells(window.profile), _segment_cells(window.reference.profile)
    for index, segmentation in enumerate(layout.segmentations):
        start = layout.segment_starts[index]
        rows = now[start : start + segmentation.size, 0]
        for place in np.flatnonzero((rows > 0) & (rows < window.rules.segment_min_rows)).tolist():
            yield _small_segment(window, segmentation.label(place), int(rows[place]))
        places = np.flatnonzero(rows >= window.rules.segment_min_rows)
        if not len(places):
            continue
        for column in layout.columns:
            # A column that names the segments has one value in each of them.
            if not column.id_like and column.name not in segmentation.columns:
                body = slice(column.coarse_start, column.coarse_start + column.coarse_body)
                try:
                    yield from _segments(
                        window,
                        column,
                        (index, segmentation, places),
                        before[start + places, body],
                        now[start + places, body],
                        column.name in held,
                    )
                except Exception as error:  # noqa: BLE001 - one column must not take the others with it
                    yield failed(window, column, error)


def _total(window: Window, column: AnyColumn, held: bool) -> Measurement:
    before, after = window.usual.counts(column.name), window.cells.counts(column.name)
    present = int(after.sum())
    if present < window.rules.min_rows:
        detail = f"{present} values, {window.rules.min_rows} are needed"
        return _settled(window, column, present, Verdict.INSUFFICIENT_DATA, detail)
    if not before.any():
        return _settled(window, column, present, Verdict.NO_DATA, "the reference has no value to compare with")
    rule = window.rule(column.name)
    size = measure(column, window.profile, window.noise, rule, window.sampled, window.exact)
    moved = _moved(column, rule.direction, before[None], after[None])[0]
    return _judged(window, column, size, window.tested.drift(column.name), present, bool(moved), held)


def _segments(
    window: Window,
    column: AnyColumn,
    where: tuple[int, Segmentation, NDArray[np.int64]],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    held: bool,
) -> Iterator[Measurement]:
    index, segmentation, places = where
    both = before.any(axis=1) & (after.sum(axis=1) >= window.rules.segment_min_rows)
    places, before, after = places[both], before[both], after[both]
    if not len(places):
        return
    rule = window.rule(column.name)
    sizes = measure_segments(column, before, after, window.reference, rule)
    moved = _moved(column, rule.direction, before, after)
    present = after.sum(axis=1).tolist()
    for i, place in enumerate(places.tolist()):
        test = window.tested.drift(column.name, (index, place))
        yield _judged(window, column, sizes[i], test, present[i], bool(moved[i]), held, segmentation.label(place))


def _judged(
    window: Window,
    column: AnyColumn,
    size: Size,
    test: CoordinateResult | None,
    rows: int,
    moved: bool,
    held: bool,
    segment: dict[str, str] | None = None,
) -> Measurement:
    """Size and test of one column as a measurement, or settled where there is nothing to judge."""
    if not math.isfinite(size.value):
        return _settled(window, column, rows, Verdict.ERROR, f"{size.metric} is not a finite number here", segment)
    # Of the many segments only what may be flagged is put into words: that costs more than all the rest.
    told = test is not None and (segment is None or (size.large and moved and test.p_value <= HIGHEST_LEVEL))
    movement = test.movement if test is not None and told else None
    finding = Finding(
        _signal(column),
        size.metric,
        Verdict.NO_DATA if held else Verdict.OK,
        column.name,
        window.version,
        segment,
        rows,
        value=size.value,
        threshold=size.threshold,
        noise_floor=size.noise_floor,
        p_value=None if test is None else test.p_value,
        driver=None if movement is None else movement.driver,
        usual=None if movement is None else _known(movement.usual),
        current=None if movement is None else _known(movement.current),
        detail=HELD if held else None,
    )
    # A constant column has no ordinary variation that would have to be learned first.
    muted = None if column.constant else window.muted
    return Measurement(finding, Share.DRIFT, size.large and moved, muted=muted, settled=held)


def _moved(
    column: AnyColumn, direction: str | None, before: NDArray[np.int64], after: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each row's values moved in the direction that the rule watches, by their mean rank."""
    if direction is None or not isinstance(column, NumericLayout):
        return np.ones(len(after), dtype=bool)
    ranks = np.array([np.average(mid_ranks(one), weights=other) for one, other in zip(before, after, strict=True)])
    return np.asarray(ranks > 0.5 if direction == "up" else ranks < 0.5)


def _segment_cells(profile: Profile) -> NDArray[np.int64]:
    """The coarse cells of every segment, one row each; the first cell is the segment's rows."""
    layout = profile.layout
    segments = layout.segment_starts[-1]
    dense = profile.segment_cells.dense(0, segments * layout.coarse_cells)
    return dense.reshape(segments, layout.coarse_cells)


def _signal(column: AnyColumn) -> Signal:
    return Signal.FEATURE_DRIFT if column.role is Role.FEATURE else Signal.PREDICTION_DRIFT


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def metric_of(window: Window, column: AnyColumn) -> str:
    """The metric that the column's drift is measured by."""
    method = window.rule(column.name).method
    if column.constant:
        return DIFFERING
    if method != "auto":
        return method
    return ROBUST_WASSERSTEIN if isinstance(column, NumericLayout) else TVD


def _settled(
    window: Window,
    column: AnyColumn,
    rows: int,
    verdict: Verdict,
    detail: str,
    segment: dict[str, str] | None = None,
) -> Measurement:
    finding = Finding(
        _signal(column),
        metric_of(window, column),
        verdict,
        column.name,
        window.version,
        segment,
        rows,
        detail=detail,
    )
    return Measurement(finding, Share.DRIFT, settled=True)


def failed(window: Window, column: AnyColumn, error: Exception) -> Measurement:
    """The error of one column as its finding."""
    return _settled(window, column, window.rows, Verdict.ERROR, f"{type(error).__name__}: {error}")


def _small_segment(window: Window, segment: dict[str, str], rows: int) -> Measurement:
    detail = f"{rows} rows, {window.rules.segment_min_rows} are needed"
    finding = Finding(
        Signal.FEATURE_DRIFT,
        "rows",
        Verdict.INSUFFICIENT_DATA,
        None,
        window.version,
        segment,
        rows,
        detail=detail,
    )
    return Measurement(finding, Share.DRIFT, settled=True)
