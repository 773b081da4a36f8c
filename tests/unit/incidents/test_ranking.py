"""Given one injected fault, what is said to have brought the incident about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.incidents.board import Board, Observation, step
from daemon.incidents.cause import CauseKind
from daemon.incidents.incident import Family, Incident
from daemon.incidents.policy import Policy
from daemon.incidents.ranking import Circumstances, LateRows, Neighbour, SeenVersion, Sign, rank, where
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import DAY, HOUR

SINCE = 100 * DAY
PREDICTION = Finding(
    Signal.PREDICTION_DRIFT, "psi", Verdict.DRIFT, column="prediction", version="7", value=0.3, threshold=0.1
)
BESIDE = replace(PREDICTION, version="6", verdict=Verdict.OK, value=0.01)
DELAY = Finding(
    Signal.FEATURE_DRIFT,
    "robust_wasserstein",
    Verdict.DRIFT,
    column="dep_delay",
    version="7",
    value=1.2,
    threshold=0.1,
    p_value=1e-9,
    driver="dep_delay ≥ 60: 4 → 38 %",
)
SMALL = replace(
    DELAY, column="carrier", metric="tvd", value=0.03, threshold=0.025, p_value=0.004, driver="carrier = UA: 20 → 23 %"
)
P_VALUE = replace(DELAY, column="distance", metric="ks", value=1e-6, threshold=0.05, p_value=1e-6, driver=None)
GONE = Finding(
    Signal.SCHEMA, "lost", Verdict.VIOLATED, column="carrier", immediate=True, driver="carrier is gone from every row"
)
MISSING = Finding(
    Signal.DATA_QUALITY,
    "missing",
    Verdict.VIOLATED,
    column="dep_delay",
    value=0.38,
    threshold=0.02,
    p_value=1e-8,
    driver="dep_delay missing: 0.4 → 38 %",
)
LABELS = Finding(Signal.LABEL_DRIFT, "psi", Verdict.DRIFT, column="label", value=0.4, threshold=0.1)
LAG = Finding(Signal.LAGGING, "lag", Verdict.VIOLATED, immediate=True, detail="orders[0] is 43 min behind")
LOST = Finding(
    Signal.DATA_QUALITY,
    "lost_offsets",
    Verdict.VIOLATED,
    immediate=True,
    value=400,
    threshold=0,
    detail="orders[0] 10 to 410: retention",
)
FEW_LOST = replace(LOST, value=2)
NEW = SeenVersion("7", SINCE + 6 * HOUR, 1.0)
LATE = LateRows(SINCE + DAY, 600, 330)
NEIGHBOUR = Neighbour("flight-price", "inc-abc123", SINCE + 6 * HOUR)


def at(segment: str, verdict: Verdict = Verdict.DRIFT, value: float = 0.3) -> Finding:
    return replace(PREDICTION, segment={"origin": segment}, verdict=verdict, value=value)


def opened(*findings: Finding) -> Incident:
    """The model's incident that two days of these findings open."""
    board = Board("flight-delay")
    for day in range(2):
        start = SINCE + day * DAY
        seen = Observation("drift", start, start + DAY, findings, rows=930)
        board = step(board, seen, Policy(for_windows=2), start + DAY).board
    return next(one for one in board.incidents if one.family is Family.MODEL)


def seen(*findings: Finding, when: int = SINCE, **others: object) -> Circumstances:
    known = Circumstances(DAY, tuple(Sign(finding, when) for finding in findings), rows=930)
    return replace(known, **others)  # type: ignore[arg-type]


QUIET_SEGMENTS = (at("JFK", Verdict.OK), at("EWR", Verdict.OK))

# what was injected | what is known then | what comes first, and its words
FAULTS = {
    "a shift of one column": (seen(DELAY), CauseKind.COLUMN, "dep_delay ≥ 60: 4 → 38 %"),
    "of two columns the larger": (seen(SMALL, DELAY), CauseKind.COLUMN, "dep_delay ≥ 60: 4 → 38 %"),
    "a column judged by its p-value": (seen(SMALL, P_VALUE), CauseKind.COLUMN, "distance drifted"),
    "a column in one segment only": (
        seen(replace(DELAY, segment={"origin": "LGA"})),
        CauseKind.COLUMN,
        "dep_delay ≥ 60: 4 → 38 % for origin LGA",
    ),
    "a column before a small one that began with it": (
        seen(DELAY, when=SINCE - DAY),
        CauseKind.COLUMN,
        "dep_delay ≥ 60: 4 → 38 %",
    ),
    "a new version": (seen(versions=[NEW]), CauseKind.VERSION, "version 7 is new"),
    "a version that came back": (seen(versions=[replace(NEW, again=True)]), CauseKind.VERSION, "version 7 is back"),
    "a new version whose features moved with it": (
        seen(DELAY, versions=[NEW], present=[PREDICTION, BESIDE]),
        CauseKind.VERSION,
        "version 7 is new",
    ),
    "columns, where versions come every other day": (
        seen(DELAY, versions=[replace(NEW, of_recent=7)]),
        CauseKind.COLUMN,
        "dep_delay ≥ 60: 4 → 38 %",
    ),
    "columns, where the new version is not concerned": (
        seen(DELAY, versions=[replace(NEW, version="8", share=0.5)]),
        CauseKind.COLUMN,
        "dep_delay ≥ 60: 4 → 38 %",
    ),
    "a column that is gone, whatever drifts for it": (
        seen(DELAY, GONE, versions=[replace(NEW, at=SINCE - DAY)]),
        CauseKind.SCHEMA,
        "carrier is gone from every row",
    ),
    "missing values": (seen(SMALL, MISSING), CauseKind.VALUES, "dep_delay missing: 0.4 → 38 %"),
    "labels of another kind": (seen(SMALL, LABELS), CauseKind.LABELS, "labels drifted"),
    "a lag": (seen(LAG), CauseKind.READING, "reading lags behind: orders[0] is 43 min behind"),
    "a late batch, without which columns look moved": (
        seen(DELAY, late=[LATE]),
        CauseKind.LATE_ROWS,
        "330 rows of a window came late, 35 % of it",
    ),
    "a few late rows": (
        seen(SMALL, late=[LateRows(SINCE + DAY, 900, 20)]),
        CauseKind.COLUMN,
        "carrier = UA: 20 → 23 %",
    ),
    "lost messages": (
        seen(SMALL, LOST),
        CauseKind.LOST_ROWS,
        "messages that were lost before they were read: orders[0] 10 to 410: retention",
    ),
    "two lost messages": (seen(SMALL, FEW_LOST), CauseKind.COLUMN, "carrier = UA: 20 → 23 %"),
    "what the topic's other readers suffer too": (
        seen(neighbours=[NEIGHBOUR], sharing=2),
        CauseKind.NEIGHBOUR,
        "flight-price (inc-abc123) of the same topic has an incident too",
    ),
    "one segment": (
        seen(present=[PREDICTION, at("LGA"), *QUIET_SEGMENTS]),
        CauseKind.SEGMENT,
        "something of origin LGA alone",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_injected_fault_comes_first(name: str) -> None:
    known, kind, text = FAULTS[name]
    first, *others = rank(opened(PREDICTION), known)
    assert (first.kind, first.text) == (kind, text)
    assert first.reason
    assert all(first.score > other.score for other in others)


def test_every_kind_has_a_fault_that_shows_it_but_a_number_of_rows() -> None:
    assert {kind for _, kind, _ in FAULTS.values()} == set(CauseKind) - {CauseKind.ROWS}


@pytest.mark.parametrize(
    "known",
    [
        seen(),
        seen(DELAY, when=SINCE + DAY),
        seen(versions=[replace(NEW, at=SINCE - 3 * DAY)]),
        seen(versions=[replace(NEW, at=SINCE + DAY)]),
        seen(late=[LateRows(SINCE - 3 * DAY, 600, 330)]),
        seen(neighbours=[replace(NEIGHBOUR, since=SINCE - 5 * DAY)], sharing=1),
        seen(present=[at("LGA"), at("JFK")]),
        seen(PREDICTION),
    ],
)
def test_what_came_later_or_long_before_or_is_the_incident_itself_is_no_cause(known: Circumstances) -> None:
    assert rank(opened(PREDICTION), known) == ()


def test_of_a_column_that_lasts_since_long_before_less_is_thought_than_of_one_that_began_with_it() -> None:
    known = replace(
        seen(DELAY, when=SINCE - 20 * DAY), signs=(*seen(DELAY, when=SINCE - 20 * DAY).signs, Sign(MISSING, SINCE))
    )
    values, column = rank(opened(PREDICTION), known)
    assert (values.kind, column.kind) == (CauseKind.VALUES, CauseKind.COLUMN)
    assert column.reason.endswith("began long before, and lasts")


def test_an_incident_of_the_data_is_never_laid_at_its_own_columns() -> None:
    board = step(Board("m"), Observation("drift", SINCE, SINCE + DAY, [GONE], rows=930), Policy(), SINCE + DAY).board
    (incident,) = board.incidents
    (cause,) = rank(incident, seen(DELAY, MISSING, GONE, versions=[NEW]))
    assert (cause.kind, incident.family) == (CauseKind.VERSION, Family.DATA)


@pytest.mark.parametrize(
    ("present", "said"),
    [
        ([PREDICTION], ""),
        ([at("LGA"), *QUIET_SEGMENTS], "only origin LGA"),
        ([at("JFK"), at("LGA", value=0.9), at("EWR", Verdict.OK)], "2 of 3 of origin, most in LGA"),
        ([at("JFK"), at("LGA", value=0.9)], "all 2 of origin, most in LGA"),
        ([at("LGA"), at("JFK", Verdict.INSUFFICIENT_DATA)], ""),
        ([at("LGA"), at("JFK", Verdict.OK), replace(at("UA"), segment={"carrier": "UA"})], "only origin LGA"),
    ],
)
def test_where_it_shows(present: list[Finding], said: str) -> None:
    assert where(opened(PREDICTION), present) == said
