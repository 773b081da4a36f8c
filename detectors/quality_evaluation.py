"""The quality of one window: predictions beside their labels, by version and by segment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from detectors.budget import level
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import Micros
from detectors.judgement import PORTIONS, Measurement, Share, judge
from detectors.layout import MISSING_VALUE, Segmentation
from detectors.quality import Flaw, Logged, QualityFloor, QualityMetric, Rows, Terms, metrics_of, read_rows
from detectors.quality.limits import DEFAULT_WORSE, against_limits, muted
from detectors.quality.rows import FLAWED_SHARE
from detectors.reference import Reference
from detectors.rules import Rules
from detectors.values import value_text

FEWEST_LOOKED_AT = 20
"""Below this many rows a flaw in what was logged is no share of anything."""


@dataclass(frozen=True, slots=True)
class QualityInput:
    """Everything that a quality verdict depends on; it can be pickled.

    `frame` is an Arrow IPC stream of one row a joined prediction: `label`, one or both of `prediction` and `score`, and
    if there are any `scores` (JSON text: each class's probability), `version` (text) and `seg` (JSON text: the row's
    value of each segment column).
    `expected` is the number of predictions in the window, `joined` how many of them have a label.
    """

    start: Micros
    end: Micros
    reference: bytes
    rules: Rules
    frame: bytes
    expected: int
    joined: int


@dataclass(frozen=True, slots=True)
class _Joined:
    """The joined rows: what can be judged, and which version and segment column values each row has."""

    rows: Rows
    versions: NDArray[np.object_] | None
    segments: NDArray[np.object_] | None
    flaws: tuple[Flaw, ...] = ()


def quality_findings(input: QualityInput, reference: Reference) -> tuple[list[Finding], int]:
    """The findings of a window's quality, and the rows that could be judged."""
    rules = input.rules
    metrics = list(metrics_of(rules.task).values())
    if not metrics:
        return [], 0
    try:
        joined = _read(input.frame, _terms(rules, reference))
        measurements = [*map(_flawed, joined.flaws), *_whole(joined, metrics, input, reference)]
    except Exception as error:  # noqa: BLE001 - an error is a finding, never silence
        return [_failed(f"the joined rows cannot be judged: {error!r}")], 0
    try:
        measurements += _by_segment(joined, metrics, rules, reference)
    except Exception as error:  # noqa: BLE001 - the whole window's quality stands
        failure = _failed(f"the segments cannot be judged: {error!r}")
        measurements.append(Measurement(failure, Share.QUALITY, settled=True))
    q = level(rules.alarms_per_week * PORTIONS[Share.QUALITY], rules.size, rules.every, rules.for_windows, rho=0.0)
    return judge(measurements, {Share.QUALITY: q}), len(joined.rows)


def _terms(rules: Rules, reference: Reference) -> Terms:
    return Terms(rules.task, rules.positive_label, rules.k, reference.classes, reference.catalogue)


def _flawed(flaw: Flaw) -> Measurement:
    """What was logged wrongly: a rule of the data's quality, violated at once."""
    finding = Finding(
        Signal.DATA_QUALITY,
        flaw.metric,
        Verdict.OK,
        flaw.column,
        rows=flaw.of,
        value=flaw.share,
        threshold=flaw.limit,
        usual=max(0.0, flaw.limit - FLAWED_SHARE),
        current=flaw.share,
        immediate=True,
        driver=flaw.detail,
        detail=flaw.detail,
    )
    if flaw.of < FEWEST_LOOKED_AT:
        few = f"{flaw.of} rows, {FEWEST_LOOKED_AT} are needed"
        detail = f"{few}; {flaw.detail}" if flaw.detail else few
        insufficient = replace(finding, verdict=Verdict.INSUFFICIENT_DATA, detail=detail)
        return Measurement(insufficient, Share.DATA_QUALITY, settled=True)
    return Measurement(finding, Share.DATA_QUALITY, flaw.share > flaw.limit, rule=True, bad=Verdict.VIOLATED)


def _whole(
    joined: _Joined, metrics: Sequence[QualityMetric], input: QualityInput, reference: Reference
) -> Iterator[Measurement]:
    rules, rows = input.rules, joined.rows
    coverage = f"{input.joined} of {input.expected} predictions have a label"
    for metric in metrics:
        yield _one(metric, rows, rules, reference.quality.get(metric.name), rules.min_rows, coverage)
    if joined.versions is not None:
        versions = sorted(set(joined.versions))
        for version in versions if len(versions) > 1 else []:
            part = rows.take(joined.versions == version)
            for metric in metrics:
                floor = reference.quality.get(metric.name)
                yield _one(metric, part, rules, floor, rules.min_rows, None, version=str(version))


def _by_segment(
    joined: _Joined, metrics: Sequence[QualityMetric], rules: Rules, reference: Reference
) -> Iterator[Measurement]:
    if joined.segments is None:
        return
    judged = [m for m in metrics if m.name in rules.quality or m.name in DEFAULT_WORSE]
    for segmentation in reference.layout.segmentations:
        codes = _segment_codes(segmentation, joined.segments)
        counts = np.bincount(codes, minlength=segmentation.size)
        for code in np.flatnonzero(counts).tolist():
            part = joined.rows.take(codes == code)
            for metric in judged:
                # The whole reference is the floor: what a segment usually is comes with references that keep it.
                yield _one(metric, part, rules, None, rules.segment_min_rows, None, segment=segmentation.label(code))


def _one(
    metric: QualityMetric,
    rows: Rows,
    rules: Rules,
    floor: QualityFloor | None,
    min_rows: int,
    coverage: str | None,
    *,
    version: str | None = None,
    segment: dict[str, str] | None = None,
) -> Measurement:
    """One metric over one group of rows."""

    def settled(verdict: Verdict, detail: str) -> Measurement:
        finding = Finding(Signal.QUALITY, metric.name, verdict, None, version, segment, len(rows), detail=detail)
        return Measurement(finding, Share.QUALITY, settled=True)

    if len(rows) < min_rows:
        return settled(Verdict.INSUFFICIENT_DATA, f"{len(rows)} labelled rows, {min_rows} are needed")
    try:
        measured = metric.measure(rows)
    except Exception as error:  # noqa: BLE001 - one metric must not take the others with it
        return settled(Verdict.ERROR, f"{metric.name} failed: {error!r}")
    if not math.isfinite(measured.value):
        return settled(Verdict.NO_DATA, measured.detail or "not defined on these rows")
    judged = against_limits(metric.name, measured.value, metric.worse, rules.quality.get(metric.name), floor)
    details = [f"95 % interval {measured.low:.4g} to {measured.high:.4g}", measured.detail, coverage]
    finding = Finding(
        Signal.QUALITY,
        metric.name,
        Verdict.OK,
        None,
        version,
        segment,
        rows=measured.rows,
        value=measured.value,
        threshold=None if judged is None else judged.threshold,
        noise_floor=None if floor is None else floor.noise_floor(metric.worse),
        p_value=None if floor is None else floor.p_value(measured, metric.worse),
        usual=None if floor is None else floor.value,
        current=measured.value,
        detail="; ".join(detail for detail in details if detail),
    )
    if judged is None:
        return Measurement(finding, Share.QUALITY, settled=True)
    return Measurement(finding, Share.QUALITY, judged.beyond, judged.rule, bad=Verdict.DEGRADED, muted=muted(floor))


def _read(frame: bytes, terms: Terms) -> _Joined:
    with pa.ipc.open_stream(frame) as stream:
        table = stream.read_all()

    def column(name: str) -> NDArray[np.generic] | None:
        if name not in table.column_names or table[name].null_count == len(table):
            return None
        return np.asarray(table[name].to_numpy())

    labels = column("label")
    versions, segments = column("version"), column("seg")
    given = [column(name) for name in ("prediction", "score", "scores")]
    if labels is None or all(values is None for values in given):
        return _Joined(_no_rows(terms), None, None)
    read = read_rows(Logged(labels, *given), terms)
    return _Joined(
        read.rows,
        None if versions is None else versions[read.places].astype(object),
        None if segments is None else segments[read.places].astype(object),
        read.flaws,
    )


def _no_rows(terms: Terms) -> Rows:
    nothing = np.empty(0, dtype=object)
    return read_rows(Logged(nothing, nothing), terms).rows


def _segment_codes(segmentation: Segmentation, texts: NDArray[np.object_]) -> NDArray[np.int64]:
    """Each row's segment; the JSON texts are few, so each is read once."""
    places, distinct = pd.factorize(texts)
    known = {value: index for index, value in enumerate(segmentation.values)}
    other = len(segmentation.values)
    codes = [known.get(_segment_value(segmentation, text), other) for text in distinct]
    return np.array([*codes, known.get((MISSING_VALUE,) * len(segmentation.columns), other)], dtype=np.int64)[places]


def _segment_value(segmentation: Segmentation, text: str) -> tuple[str, ...]:
    values = msgspec.json.decode(text)
    found = (values.get(name) for name in segmentation.columns)
    return tuple(MISSING_VALUE if value is None else value_text(value) for value in found)


def _failed(detail: str) -> Finding:
    return Finding(Signal.QUALITY, "quality", Verdict.ERROR, detail=detail)
