"""Windows for tests: frames of rows to references, partials, samples and evaluations."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from detectors.columns import ColumnType, Role, infer_columns
from detectors.evaluation import DriftInput, EvaluationResult, evaluate_drift
from detectors.findings import Finding, Signal
from detectors.frames import encode_frame
from detectors.instants import DAY
from detectors.layout import Layout
from detectors.profile import Profile
from detectors.reference import Reference, WindowLength, build_reference
from detectors.rows import hash_ids
from detectors.rules import Rules
from detectors.sample import Sample

START = 1_000 * DAY


def day_times(rows: int, days: int) -> np.ndarray:
    """Event times spread evenly over whole days from START on."""
    return START + (np.arange(rows) * days * DAY) // rows


def made_reference(
    frame: pd.DataFrame,
    *,
    event_time: np.ndarray | None,
    roles: Mapping[str, Role] | None = None,
    declared: Mapping[str, ColumnType] | None = None,
    segment_by: Sequence[tuple[str, ...]] = (),
    label: str | None = None,
    scores: str | None = None,
    items: str | None = None,
    task: str = "none",
) -> Reference:
    """A reference of one-day windows."""
    exclude: Collection[str] = [name for name in (label, scores, items) if name is not None]
    columns = infer_columns(frame, roles=roles or {}, declared=declared or {}, exclude=exclude)
    return build_reference(
        frame,
        columns,
        event_time=event_time,
        label=label,
        window=WindowLength(DAY, DAY),
        segment_by=segment_by,
        scores=scores,
        items=items,
        task=task,
    )


def partial(layout: Layout, frame: pd.DataFrame, first: int = 0) -> tuple[bytes, bytes]:
    """The profile and the sample of rows, as bytes; `first` numbers them."""
    rows, encoder = encode_frame(frame.reset_index(drop=True), layout, None)
    ids = np.array([f"p{first + i}" for i in range(len(frame))], dtype=object)
    rows = replace(rows, identity=hash_ids(ids), ids=ids, topic="t", offset=rows.offset + first)
    return Profile.of(layout, rows, encoder).to_bytes(), Sample.of(layout, rows, encoder).to_bytes()


def drift_input(
    reference: Reference,
    frames: pd.DataFrame | Mapping[str, pd.DataFrame],
    rules: Rules | None = None,
    *,
    parts: int = 1,
    live: tuple[bytes, ...] = (),
    start: int = START + 100 * DAY,
    seen: frozenset[str] | None = None,
) -> DriftInput:
    """One window's input, each version's rows cut into `parts` partials."""
    by_version = {"1": frames} if isinstance(frames, pd.DataFrame) else frames
    partials: dict[str, Any] = {}
    samples: dict[str, Any] = {}
    for version, frame in by_version.items():
        borders = np.linspace(0, len(frame), parts + 1).astype(int).tolist()
        made = [partial(reference.layout, frame.iloc[low:high], low) for low, high in itertools.pairwise(borders)]
        partials[version] = tuple(profile for profile, _ in made)
        samples[version] = tuple(sample for _, sample in made)
    return DriftInput(start, start + DAY, reference.to_bytes(), live, partials, samples, rules or Rules(), seen)


def evaluated(reference: Reference, frames: Any, rules: Rules | None = None, **more: Any) -> EvaluationResult:
    """The evaluation of one window."""
    return evaluate_drift(drift_input(reference, frames, rules, **more))


def found(
    result: EvaluationResult,
    metric: str | None = None,
    column: str | None = None,
    *,
    signal: Signal | None = None,
    segment: dict[str, str] | None = None,
    version: str | None = "1",
) -> Finding:
    """The one finding that fits."""
    fitting = [
        finding
        for finding in result.findings
        if (metric is None or finding.metric == metric)
        and finding.column == column
        and (signal is None or finding.signal is signal)
        and finding.segment == segment
        and finding.version == version
    ]
    assert len(fitting) == 1, fitting
    return fitting[0]
