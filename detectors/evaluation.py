"""The verdicts on one window: merged partials and a reference in, findings out. Runs in a worker process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from detectors.budget import level
from detectors.column_drift import segment_drift, total_drift
from detectors.data_quality.check import CHECKS, Check
from detectors.data_quality.lost import settle_lost
from detectors.drift_input import DriftInput
from detectors.estimated_quality import Sources, estimated_quality
from detectors.findings import FIRING, Finding, Signal, Verdict
from detectors.frames import STORED_ROWS
from detectors.judgement import PORTIONS, Measurement, Share, judge
from detectors.noise import Noise
from detectors.profile import Profile
from detectors.quality_evaluation import QualityInput, quality_findings
from detectors.reference import Reference, window_vector
from detectors.rules import Rules
from detectors.sample import Sample
from detectors.sizes import Columns
from detectors.variation import WindowVector
from detectors.window import Cells, Window

__all__ = ["DriftInput", "EvaluationResult", "QualityInput", "evaluate_drift", "evaluate_quality"]


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What an evaluation says.

    `vector` is this window as a WindowVector, None without rows: when the window is `ordinary` it may join the
    reference's own windows.
    """

    findings: tuple[Finding, ...]
    rows: int
    vector: bytes | None


@dataclass(frozen=True, slots=True)
class _Known:
    """A reference as evaluations use it, read once in a process."""

    reference: Reference
    usual: Cells
    noise: Noise


@lru_cache(maxsize=8)
def _known(reference: bytes, live_windows: tuple[bytes, ...]) -> _Known:
    read = _reference(reference)
    live = [WindowVector.from_bytes(data) for data in live_windows]
    return _Known(read, Cells(read.profile), Noise.of(read, live))


@lru_cache(maxsize=8)
def _reference(data: bytes) -> Reference:
    return Reference.from_bytes(data)


def evaluate_drift(input: DriftInput) -> EvaluationResult:
    """Drift and data quality of one window: of each version, of each segment in it, and of all versions together.

    Data quality is judged first: a column whose own schema or data-quality line fires has its drift held back. An
    exception in one check or one column becomes that one's `error` finding. Raises CorruptBlob when the reference or
    a partial cannot be read: then nothing can be said at all.
    """
    known = _known(input.reference, input.live_windows)
    layout = known.reference.layout
    profiles = {
        version: Profile.merge([Profile.from_bytes(layout, data) for data in parts])
        for version, parts in sorted(input.partials.items())
        if parts
    }
    whole = Profile.merge(list(profiles.values())) if profiles else Profile.empty(layout)
    levels = _levels(input.rules, known.noise)
    windows = [_window(input, known, version, profile) for version, profile in profiles.items()]
    together = Window(None, input.start, whole, known.reference, known.usual, known.noise, input.rules)
    quality = judge(settle_lost(list(_data_quality(windows, together)), layout.columns, input.seen), levels)
    drift: list[Measurement] = []
    for window in windows:
        held = {
            finding.column
            for finding in quality
            if finding.column is not None and finding.version == window.version and finding.verdict in FIRING
        }
        drift += total_drift(window, held)
        drift += segment_drift(window, held)
    findings = (*quality, *judge(drift + _estimates(input, known, quality), levels))
    vector = window_vector(whole, known.reference, input.start, input.end).to_bytes() if whole.rows else None
    return EvaluationResult(findings, whole.rows, vector)


def evaluate_quality(input: QualityInput) -> EvaluationResult:
    """The quality of one window's joined predictions, of each version and segment; errors as in `evaluate_drift`."""
    findings, rows = quality_findings(input, _reference(input.reference))
    return EvaluationResult(tuple(findings), rows, None)


def _estimates(input: DriftInput, known: _Known, quality: list[Finding]) -> list[Measurement]:
    """What the labels will probably say of all versions together and, where there are several, of each."""
    labelled = known.reference if input.labelled is None else _reference(input.labelled)
    if labelled.estimation.reason is not None:
        return []
    layout = known.reference.layout
    samples = {
        version: Sample.merge([Sample.from_bytes(layout, data) for data in parts])
        for version, parts in input.samples.items()
        if parts
    }
    held = {(finding.version, finding.column) for finding in quality if finding.verdict in FIRING}
    return estimated_quality(labelled, Sources(samples, input.scored), input.rules, held)


def _levels(rules: Rules, noise: Noise) -> dict[Share, float]:
    """The level of each share: what is tested against ordinary windows' drift knows how alike neighbours are."""
    rho = {Share.DRIFT: noise.rho, Share.DATA_QUALITY: noise.rho, Share.VOLUME: noise.rho, Share.ESTIMATED: 0.0}
    return {
        share: level(rules.alarms_per_week * PORTIONS[share], rules.size, rules.every, rules.for_windows, alike)
        for share, alike in rho.items()
    }


def _window(input: DriftInput, known: _Known, version: str, profile: Profile) -> Window:
    """The window of one version, with rows where a rule's method needs them."""
    sampled, exact = None, False
    parts = input.samples.get(version, ())
    if parts and any(rule.method != "auto" for rule in input.rules.columns.values()):
        layout = known.reference.layout
        sample = Sample.merge([Sample.from_bytes(layout, data) for data in parts])
        sampled = Columns(known.reference.sample, sample.to_frame())
        exact = len(sample) == profile.rows and known.reference.rows <= STORED_ROWS
    return Window(version, input.start, profile, known.reference, known.usual, known.noise, input.rules, sampled, exact)


def _data_quality(windows: list[Window], together: Window) -> Iterator[Measurement]:
    for check in CHECKS:
        for window in [together] if check.whole else windows:
            yield from _checked(check, window)


def _checked(check: Check, window: Window) -> Iterator[Measurement]:
    try:
        yield from check.of_window(window)
    except Exception as error:  # noqa: BLE001 - one check must not take the others with it
        finding = Finding(
            Signal.DATA_QUALITY,
            check.name,
            Verdict.ERROR,
            version=window.version,
            rows=window.rows,
            detail=f"{type(error).__name__}: {error}",
        )
        yield Measurement(finding, Share.DATA_QUALITY, settled=True)
