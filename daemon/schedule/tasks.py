"""What the daemon and its workers say to each other, and the name of the function that does each task.

Nothing here imports a detector: reading files, SciPy and Arrow are the workers' memory, not the daemon's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from detectors.drift_input import DriftInput
from detectors.findings import Finding
from detectors.instants import Micros
from detectors.rules import Rules

P = TypeVar("P")
R = TypeVar("R")

Cells = Sequence[float | str | None]


@dataclass(frozen=True, slots=True)
class Work(Generic[P, R]):
    """A function that a worker calls, by its path `module:function`; it takes a P and returns an R."""

    path: str


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Where a model's reference is and what its columns are called.

    The names of `id`, `version`, `timestamp` and `label` are taken when the file has them, those in `required` must be
    there. `features` is None for every other column, else exactly the ones named. `declared` are the types
    and `methods` the drift methods of columns for which the configuration names one.
    """

    path: Path
    timestamp: str | None
    timestamp_unit: str
    prediction: str | None
    score: str | None
    scores: str | None
    label: str | None
    id: str | None
    ignored: tuple[str, ...]
    features: tuple[str, ...] | None
    required: tuple[str, ...]
    exclude: tuple[str, ...]
    declared: Mapping[str, str]
    methods: Mapping[str, str]
    segment_by: tuple[tuple[str, ...], ...]
    max_segments: int
    size: Micros
    every: Micros
    task: str
    positive_label: str
    k: int


@dataclass(frozen=True, slots=True)
class BuiltReference:
    """A reference as bytes, with what the daemon itself has to know of it.

    `usual_gap` is how long the reference's rows were silent at most on all but the oddest days; None without event
    times.
    """

    hash: str
    layout: bytes
    layout_hash: str
    body: bytes
    rows: int
    event_times: bool
    usual_gap: Micros | None


@dataclass(frozen=True, slots=True)
class QualityTask:
    """A window's joined predictions as the store keeps them: columns of equal length; `segments` is JSON text.

    `labelled` of the `expected` predictions have a label. A recommender's predictions and labels are lists in JSON.
    """

    start: Micros
    end: Micros
    reference: bytes
    rules: Rules
    version: Sequence[str]
    prediction: Cells
    score: Cells
    label: Cells
    segments: Sequence[str]
    expected: int
    labelled: int


@dataclass(frozen=True, slots=True)
class SuiteTask:
    """What a model's own Evidently suite needs of a window of `rows` rows: its samples, of all versions, as bytes."""

    reference: bytes
    rules: Rules
    rows: int
    samples: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What an evaluation says; `vector` is the window as one that may help to calibrate the reference."""

    findings: tuple[Finding, ...]
    rows: int
    vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class MergeTask:
    """Partials of one pane under one layout, as bytes; a partial whose sample has expired has none here.

    While there is no layout (`collects`) partials are samples only.
    """

    layout: bytes
    rows: int
    collects: bool
    profiles: tuple[bytes, ...]
    samples: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """One partial in the place of many; `kth_hash` is its sample's, None while that has room."""

    rows: int
    profile: bytes
    sample: bytes | None
    kth_hash: int | None


@dataclass(frozen=True, slots=True)
class ReportTask:
    """A reference and the samples of a window under its layout, as bytes."""

    reference: bytes
    samples: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class WindowTask:
    """The samples of one window of a reference that is collected, as bytes; so many rows of it are kept."""

    samples: tuple[bytes, ...]
    k: int


@dataclass(frozen=True, slots=True)
class LiveWindow:
    """A window of a reference that was collected: its rows, the sample of them as bytes, and the sample's labels."""

    start: Micros
    rows: int
    sample: bytes
    labels: bytes | None


@dataclass(frozen=True, slots=True)
class CollectedTask:
    """The windows of a reference from live traffic, `size` long each, and what the reference is to be like."""

    request: ReadRequest
    windows: tuple[LiveWindow, ...]
    size: Micros


READ_REFERENCE: Work[ReadRequest, BuiltReference] = Work("daemon.schedule.reading:read_reference")
JUDGE_DRIFT: Work[DriftInput, Verdicts] = Work("daemon.schedule.judging:judge_drift")
JUDGE_QUALITY: Work[QualityTask, Verdicts] = Work("daemon.schedule.judging:judge_quality")
SAMPLED_SUITE: Work[SuiteTask, tuple[Finding, ...]] = Work("daemon.schedule.suites:judge_sampled")
JOINED_SUITE: Work[QualityTask, tuple[Finding, ...]] = Work("daemon.schedule.suites:judge_joined")
MERGE_WINDOW: Work[WindowTask, bytes] = Work("daemon.schedule.collected:merge_window")
BUILD_COLLECTED: Work[CollectedTask, BuiltReference] = Work("daemon.schedule.collected:build_collected")
MERGE: Work[MergeTask, Merged] = Work("daemon.schedule.merging:merge")
REPORT: Work[ReportTask, str] = Work("daemon.schedule.reporting:report")
