"""The estimated quality of one window: of all its rows, and of each version where there are several.

An estimate speaks for itself only with care. It is held to the limits of the measured metric, but none of them is a
rule for it: it must be unusual too, against the estimates of the reference's own windows and by more than it was off on
them. Where saying "as usual" would have been nearly as good on those windows, it is shown and never flagged.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from detectors.columns import PREDICTION, SCORE
from detectors.estimation.estimator import Estimator
from detectors.estimation.learning import Backtest
from detectors.findings import Finding, Signal, Verdict
from detectors.judgement import Measurement, Share
from detectors.predicted import read_scored
from detectors.quality.floor import QualityFloor
from detectors.quality.limits import against_limits, muted
from detectors.quality.metric import Measured, QualityMetric, metrics_of
from detectors.quality.reading import Terms
from detectors.quality.rows import MULTICLASS
from detectors.reference import Reference
from detectors.rules import Rules
from detectors.sample import Sample

NO_BETTER = 1.25
"""An estimate that was off by more than so many times what the usual value was off is not judged."""
HELD = "held back: the prediction's own schema or data-quality line fires"


@dataclass(frozen=True, slots=True)
class Sources:
    """What a window's estimates are made from, by version.

    `samples` are whole rows; `scored` are predictions as they wait for their labels, a class with its probabilities
    in one text, which is all that a multiclass model needs.
    """

    samples: Mapping[str, Sample]
    scored: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that are estimated together."""

    frame: pd.DataFrame
    scores: np.ndarray | None
    version: str | None


def estimated_quality(
    reference: Reference, sources: Sources, rules: Rules, held: Collection[tuple[str | None, str | None]] = ()
) -> list[Measurement]:
    """The estimates, one finding a metric and group of rows; none where the reference teaches nothing.

    `held` are versions and columns whose own data lines fire: a broken prediction's quality is not estimated. An
    exception is one `error` finding.
    """
    try:
        terms = Terms(rules.task, rules.positive_label, rules.k, reference.classes, reference.catalogue)
        estimator = Estimator.of(reference, terms)
        if estimator is None:
            return []
        return [one for group in _groups(sources, rules.task) for one in _of_group(group, estimator, rules, held)]
    except Exception as error:  # noqa: BLE001 - drift and data quality must not be lost with it
        return [_settled("quality", None, 0, Verdict.ERROR, f"{type(error).__name__}: {error}")]


def _groups(sources: Sources, task: str) -> Iterator[_Group]:
    """All rows together, then those of each version where there are several."""
    if task == MULTICLASS:
        texts = {version: list(rows) for version, rows in sorted(sources.scored.items()) if rows}
        if texts:
            yield _scored([text for rows in texts.values() for text in rows], None)
        if len(texts) > 1:
            yield from (_scored(rows, version) for version, rows in texts.items())
        return
    samples = {version: sample for version, sample in sorted(sources.samples.items()) if len(sample)}
    if samples:
        yield _Group(Sample.merge(list(samples.values())).to_frame(), None, None)
    if len(samples) > 1:
        yield from (_Group(sample.to_frame(), None, version) for version, sample in samples.items())


def _scored(texts: list[str], version: str | None) -> _Group:
    pairs = [read_scored(text) for text in texts]
    predictions = pd.Series([prediction for prediction, _ in pairs], dtype=object)
    scores = np.array([scores for _, scores in pairs], dtype=object)
    return _Group(pd.DataFrame({PREDICTION: predictions}), scores, version)


def _of_group(
    group: _Group, estimator: Estimator, rules: Rules, held: Collection[tuple[str | None, str | None]]
) -> Iterator[Measurement]:
    metrics = [metric for name, metric in metrics_of(rules.task).items() if name in estimator.estimation.floors]
    rows, version = len(group.frame), group.version
    broken = any(column in (PREDICTION, SCORE) and version in (None, other) for other, column in held)
    if rows < rules.min_rows:
        found: Mapping[str, Measured] | str = f"{rows} rows, {rules.min_rows} are needed"
        verdict = Verdict.INSUFFICIENT_DATA
    else:
        found = HELD if broken else estimator.estimates(group.frame, group.scores)
        verdict = Verdict.NO_DATA
    for metric in metrics:
        estimate = Measured.undefined(found, rows) if isinstance(found, str) else found[metric.name]
        if math.isfinite(estimate.value):
            floor, backtest = estimator.estimation.floors[metric.name], estimator.estimation.backtests[metric.name]
            yield _judged(metric, estimate, floor, backtest, rules, version)
        else:
            yield _settled(metric.name, version, rows, verdict, estimate.detail or "not defined on these rows")


def _judged(
    metric: QualityMetric,
    estimate: Measured,
    floor: QualityFloor,
    backtest: Backtest,
    rules: Rules,
    version: str | None,
) -> Measurement:
    judged = against_limits(metric.name, estimate.value, metric.worse, rules.quality.get(metric.name), floor)
    uncertain = replace(estimate, error=math.hypot(estimate.error, backtest.own_error))
    unskilled = backtest.off > NO_BETTER * backtest.usual_off
    detail = _detail(estimate, backtest, windows=bool(floor.windows))
    finding = Finding(
        Signal.ESTIMATED_QUALITY,
        metric.name,
        Verdict.UNCALIBRATED if unskilled else Verdict.OK,
        version=version,
        rows=estimate.rows,
        value=estimate.value,
        threshold=None if judged is None else judged.threshold,
        noise_floor=floor.noise_floor(metric.worse),
        p_value=floor.p_value(uncertain, metric.worse),
        estimated=True,
        usual=floor.value,
        current=estimate.value,
        detail=f"{detail}, the usual value by {backtest.usual_off:.2g}: not judged" if unskilled else detail,
    )
    if judged is None or unskilled:
        return Measurement(finding, Share.ESTIMATED, settled=True)
    return Measurement(finding, Share.ESTIMATED, judged.beyond, bad=Verdict.DEGRADED, muted=muted(floor))


def _detail(estimate: Measured, backtest: Backtest, *, windows: bool) -> str:
    parts = "held-back reference windows" if windows else "held-back parts of the reference"
    off = f"on {backtest.windows} {parts} it was off by {backtest.off:.2g} on average"
    return f"estimate from {estimate.rows} rows, blind to concept drift; {off}"


def _settled(metric: str, version: str | None, rows: int, verdict: Verdict, detail: str) -> Measurement:
    finding = Finding(
        Signal.ESTIMATED_QUALITY, metric, verdict, version=version, rows=rows, estimated=True, detail=detail
    )
    return Measurement(finding, Share.ESTIMATED, settled=True)
