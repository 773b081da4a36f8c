"""Incidents of every kind, brought about by real steps: what the snapshots and the picture are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from daemon.deliver.view import IncidentView
from daemon.incidents.board import Board, Kind, Observation, Policy, step
from daemon.incidents.incident import Incident
from daemon.incidents.ranking import Circumstances, LateRows, SeenVersion, Sign, rank, where
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import HOUR, MINUTE, SECOND, Micros, parse_rfc3339

MIDNIGHT = parse_rfc3339("2013-02-08T05:00:00Z")
DAY_LONG = 24 * HOUR

PREDICTION = Finding(
    Signal.PREDICTION_DRIFT,
    "psi",
    Verdict.DRIFT,
    column="prediction",
    version="7",
    rows=930,
    value=0.312,
    threshold=0.1,
    noise_floor=0.041,
    p_value=1e-6,
    driver="prediction > 20: 11 → 41 %",
    usual=7.12,
    current=18.43,
)
AT_LGA = replace(PREDICTION, segment={"origin": "LGA"}, rows=310, value=0.52, usual=6.4, current=24.0)
AT_JFK = replace(PREDICTION, segment={"origin": "JFK"}, rows=300, value=0.28, usual=7.0, current=16.0)
DEP_DELAY = Finding(
    Signal.FEATURE_DRIFT,
    "psi",
    Verdict.DRIFT,
    column="dep_delay",
    version="7",
    rows=930,
    value=1.234,
    threshold=0.1,
    noise_floor=0.31,
    driver="dep_delay > 60: 4 → 38 %",
    usual=12.6,
    current=48.1,
)
QUIET = [
    Finding(Signal.FEATURE_DRIFT, "tvd", Verdict.OK, column=name, version="7", rows=930, value=0.01, threshold=0.025)
    for name in ("carrier", "origin", "dest", "distance", "dep_hour", "month", "weekday")
]
ROWS = Finding(Signal.DATA_QUALITY, "rows", Verdict.OK, rows=930, value=930.0, usual=880.0, current=930.0)
MAE = Finding(
    Signal.QUALITY,
    "mae",
    Verdict.DEGRADED,
    rows=901,
    value=18.94,
    threshold=15.0,
    noise_floor=13.1,
    usual=11.8,
    current=18.94,
)
ESTIMATED = replace(
    MAE,
    signal=Signal.ESTIMATED_QUALITY,
    rows=930,
    value=14.9,
    threshold=14.16,
    current=14.9,
    estimated=True,
    detail="estimate from 930 rows; on 28 held-back reference windows it was off by 0.8 on average",
)
CATEGORY = Finding(
    Signal.PREDICTION_DRIFT,
    "tvd",
    Verdict.DRIFT,
    column="prediction",
    rows=4000,
    value=0.113,
    threshold=0.025,
    noise_floor=0.02,
    driver="prediction = fraud: 2 → 13 %",
    usual=0.021,
    current=0.134,
)
WORSE = (
    MAE,
    replace(MAE, metric="rmse", value=31.2, threshold=24.0, noise_floor=23.0, usual=20.1, current=31.2),
    replace(MAE, metric="r2", value=0.21, threshold=0.4, noise_floor=0.38, usual=0.51, current=0.21),
)
LABELS = Finding(
    Signal.LABELS_MISSING,
    "label_coverage",
    Verdict.VIOLATED,
    rows=930,
    value=0.12,
    threshold=0.45,
    current=0.12,
    immediate=True,
    detail="112 of 930 predictions have a label; 90% were expected",
)
FEW_ROWS = replace(ROWS, verdict=Verdict.VIOLATED, rows=310, value=310.0, current=310.0, threshold=587.0)
MISSING = Finding(
    Signal.DATA_QUALITY,
    "missing",
    Verdict.VIOLATED,
    column="dep_delay",
    rows=930,
    value=0.38,
    threshold=0.02,
    noise_floor=0.006,
    usual=0.004,
    current=0.38,
)
SILENCE = Finding(
    Signal.NO_PREDICTIONS,
    "silence",
    Verdict.VIOLATED,
    value=43 * 60.0,
    threshold=30 * 60.0,
    usual=9 * 60.0,
    current=43 * 60.0,
    immediate=True,
)
SCHEMA = Finding(
    Signal.SCHEMA,
    "mistyped",
    Verdict.VIOLATED,
    column="dep_delay",
    rows=930,
    value=1.0,
    threshold=0.01,
    usual=0.0,
    current=1.0,
    immediate=True,
    driver="dep_delay: 100 % of the values are no longer numeric",
)
MISSING_COUNT = Finding(
    Signal.DATA_QUALITY,
    "evidently.MissingValueCount.share",
    Verdict.VIOLATED,
    column="dep_delay",
    rows=930,
    value=0.38,
    threshold=0.05,
    usual=0.004,
    current=0.38,
    detail="must be at most 0.05; 930 rows",
)
MEAN_ERROR = Finding(
    Signal.QUALITY,
    "evidently.RegressionPreset.MeanError",
    Verdict.DEGRADED,
    rows=901,
    value=7.2,
    threshold=3.0,
    usual=0.3,
    current=7.2,
)
DRIFTED_COLUMNS = Finding(
    Signal.FEATURE_DRIFT,
    "evidently.DriftedColumnsCount.share",
    Verdict.DRIFT,
    rows=930,
    value=0.6,
    threshold=0.3,
    current=0.6,
)
FORGED = replace(
    DEP_DELAY,
    column="<!channel>",
    driver="*carrier* <https://evil.example|click here> <!here> <@U0123> :rotating_light: `x`: 4 → 38 %",
)


class Days:
    """A model's board, moved one window of a day at a time."""

    def __init__(self, *, important: frozenset[str] = frozenset()) -> None:
        self.board = Board("flight-delay")
        self.policy = Policy(important=important)
        self.day = 0

    def see(self, *findings: Finding, kind: Kind = "drift", next_day: bool = True) -> Days:
        start = MIDNIGHT + self.day * DAY_LONG
        return self.observe(Observation(kind, start, start + DAY_LONG, findings, rows=930), next_day=next_day)

    def observe(self, observation: Observation, *, next_day: bool = False) -> Days:
        self.board = step(self.board, observation, self.policy, observation.end + 10 * MINUTE).board
        self.day += next_day
        return self

    @property
    def incident(self) -> Incident:
        return self.board.incidents[-1]


def quieted(finding: Finding, current: float | None = None) -> Finding:
    return replace(finding, verdict=Verdict.OK, value=0.03, current=finding.usual if current is None else current)


def silence(start: Micros, length: Micros, finding: Finding = SILENCE) -> Observation:
    seconds = length / SECOND
    return Observation("silence", start, start + length, [replace(finding, value=seconds, current=seconds)])


def incidents() -> Mapping[str, Incident]:
    """Each kind of incident by name."""
    drift = (PREDICTION, DEP_DELAY, ROWS, *QUIET)
    last_row = MIDNIGHT + 21 * HOUR + 47 * MINUTE + 11 * SECOND
    calm = (quieted(PREDICTION, current=7.3), quieted(DEP_DELAY), ROWS, *QUIET)
    segments = (PREDICTION, AT_LGA, AT_JFK, DEP_DELAY, ROWS, *QUIET)
    many = [replace(DEP_DELAY, column=f"feature_{i}", value=1.0 - i / 20, driver=None) for i in range(9)]
    worse = Days().see(*drift).see(*drift, next_day=False).see(MAE, kind="quality").see(MAE, kind="quality")
    relapse = Days().see(*drift).see(*drift).see(*calm).see(*drift)
    back = Observation("silence", last_row + 44 * MINUTE, last_row + 45 * MINUTE, [quieted(SILENCE)])
    return {
        "prediction_drift": Days().see(*drift).see(*drift).incident,
        "segments": Days().see(*segments).see(*segments).incident,
        "one_segment": Days().see(AT_LGA, ROWS).see(AT_LGA, ROWS).incident,
        "many_features": Days().see(PREDICTION, *many).see(PREDICTION, *many).incident,
        "worse": worse.incident,
        "recovering": Days().see(*drift).see(*drift).see(*calm).incident,
        "relapsed": relapse.incident,
        "recovered": Days().see(*drift).see(*drift).see(*calm).see(*calm).incident,
        "quality": Days().see(MAE, kind="quality").see(MAE, kind="quality").incident,
        "estimated": Days().see(ESTIMATED, DEP_DELAY, ROWS).see(ESTIMATED, DEP_DELAY, ROWS).incident,
        "estimated_and_measured": Days()
        .see(ESTIMATED, ROWS)
        .see(ESTIMATED, ROWS, next_day=False)
        .see(MAE, kind="quality")
        .see(MAE, kind="quality")
        .incident,
        "estimated_recovered": Days()
        .see(ESTIMATED, ROWS)
        .see(ESTIMATED, ROWS)
        .see(quieted(ESTIMATED), ROWS)
        .see(quieted(ESTIMATED), ROWS)
        .incident,
        "several_metrics": Days().see(*WORSE, kind="quality").see(*WORSE, kind="quality").incident,
        "labels_missing": Days().see(LABELS, kind="quality").incident,
        "few_rows": Days().see(FEW_ROWS).see(FEW_ROWS).incident,
        "category": Days().see(CATEGORY).see(CATEGORY).incident,
        "important_feature": Days(important=frozenset({"dep_delay"}))
        .see(DEP_DELAY, *QUIET)
        .see(DEP_DELAY, *QUIET)
        .incident,
        "no_predictions": Days().observe(silence(last_row, 43 * MINUTE)).incident,
        "predictions_back": Days().observe(silence(last_row, 43 * MINUTE)).observe(back).incident,
        "missing_values": Days().see(MISSING, ROWS).see(MISSING, ROWS).incident,
        "schema": Days().see(SCHEMA, ROWS).incident,
        "schema_back": Days().see(SCHEMA, ROWS).see(quieted(SCHEMA), ROWS).incident,
        "held": Days()
        .see(*drift)
        .see(*drift)
        .observe(silence(MIDNIGHT + 2 * DAY_LONG, 43 * MINUTE))
        .board.incidents[0],
        "suite_values": Days().see(MISSING_COUNT, ROWS).see(MISSING_COUNT, ROWS).incident,
        "suite_quality": Days().see(MEAN_ERROR, kind="quality").see(MEAN_ERROR, kind="quality").incident,
        "suite_columns": Days().see(DRIFTED_COLUMNS, ROWS, *QUIET).see(DRIFTED_COLUMNS, ROWS, *QUIET).incident,
        "suite_recovered": Days()
        .see(MISSING_COUNT, ROWS)
        .see(MISSING_COUNT, ROWS)
        .see(quieted(MISSING_COUNT), ROWS)
        .see(quieted(MISSING_COUNT), ROWS)
        .incident,
        "cause_column": explained(segments, late=[LateRows(MIDNIGHT, 900, 61)]),
        "cause_version": explained(drift, versions=[SeenVersion("7", MIDNIGHT + 6 * HOUR, 1.0)]),
        "cause_schema": explained((PREDICTION, ROWS), Sign(replace(SCHEMA, column="carrier"), MIDNIGHT - HOUR)),
        "cause_unknown": explained((PREDICTION, ROWS)),
        "forged": Days().see(PREDICTION, FORGED).see(PREDICTION, FORGED).incident,
    }


def explained(findings: Sequence[Finding], *signs: Sign, **known: Any) -> Incident:
    """An incident of two such days, with what is made of its circumstances."""
    incident = Days().see(*findings).see(*findings).incident
    moved = [Sign(finding, MIDNIGHT) for finding in findings if finding.verdict is not Verdict.OK]
    circumstances = Circumstances(DAY_LONG, (*moved, *signs), findings, rows=930, **known)
    return msgspec.structs.replace(
        incident, causes=rank(incident, circumstances), where=where(incident, circumstances.present)
    )


def view(incident: Incident) -> IncidentView:
    return IncidentView(
        incident, "prod", mention="S0123", runbook="https://wiki.example/flight-delay", labels_within=2 * DAY_LONG
    )
