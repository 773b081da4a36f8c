"""What is recorded is what programs read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from daemon.store import AlreadyEvaluated, Store, evaluations
from daemon.store.evaluations import Evaluation, Judged, ResultRow
from detectors.findings import Finding, Signal, Verdict

EVALUATION = Evaluation("m", "drift", 0, 24, 0, 6, 930, None, 0, 30, 31, "ref", "config", "0.1.0")
TOTAL = Finding(
    Signal.FEATURE_DRIFT,
    "psi",
    Verdict.DRIFT,
    column="dep_delay",
    version="7",
    rows=930,
    value=1.23,
    threshold=0.1,
    noise_floor=0.31,
    p_value=1e-9,
    flagged=True,
    driver="dep_delay > 60: 4 → 38 %",
    usual=7.1,
    current=18.4,
    detail="exact",
)
SEGMENT = Finding(Signal.QUALITY, "mae", Verdict.OK, segment={"origin": "JFK"}, immediate=True, estimated=True)


def test_a_finding_comes_back_with_its_window(conn: Connection) -> None:
    evaluations.record(conn, EVALUATION, [Judged(TOTAL, "notify", "inc-4f2a"), Judged(SEGMENT)])

    first, second = evaluations.results(conn)
    assert first == ResultRow(
        model="m",
        kind="drift",
        window_start=0,
        window_end=24,
        revision=0,
        reference="ref",
        config_hash="config",
        driftd_version="0.1.0",
        evaluated_at=31,
        signal="feature_drift",
        column="dep_delay",
        metric="psi",
        version="7",
        segment=None,
        rows=930,
        value=1.23,
        threshold=0.1,
        noise_floor=0.31,
        p_value=1e-9,
        verdict="drift",
        severity="notify",
        incident="inc-4f2a",
        flagged=True,
        immediate=False,
        estimated=False,
        driver="dep_delay > 60: 4 → 38 %",
        usual=7.1,
        current=18.4,
        detail="exact",
    )
    assert (second.segment, second.version, second.verdict) == ({"origin": "JFK"}, None, "ok")
    assert (second.immediate, second.estimated, second.flagged, second.incident) == (True, True, False, None)


def test_a_revision_is_recorded_once(store: Store) -> None:
    with store.write() as conn:
        evaluations.record(conn, EVALUATION, [Judged(TOTAL)])
    with pytest.raises(AlreadyEvaluated, match="revision 0 of the drift window"), store.write() as conn:
        evaluations.record(conn, EVALUATION, [Judged(SEGMENT)])

    with store.read() as conn:
        assert [row.metric for row in evaluations.results(conn)] == ["psi"]


def test_results_by_model_kind_time_incident_and_last_revision(conn: Connection) -> None:
    for model in ("b", "a"):
        for kind in ("quality", "drift"):
            for end in (24, 30):
                for revision in (0, 1):
                    one = replace(
                        EVALUATION, model=model, kind=kind, window_start=end - 24, window_end=end, revision=revision
                    )
                    incident = "inc-1" if revision else None
                    evaluations.record(conn, one, [Judged(TOTAL, None, incident)])

    def found(**filters: object) -> list[str]:
        rows = evaluations.results(conn, **filters)  # type: ignore[arg-type]
        return [f"{row.model} {row.kind} {row.window_end} r{row.revision}" for row in rows]

    everything = found()
    assert everything == sorted(everything, key=lambda text: (text[0], text.split()[2], text))
    assert len(everything) == 16
    assert found(model="a", kind="drift", final_only=True) == ["a drift 24 r1", "a drift 30 r1"]
    assert found(model="a", kind="drift", until=30) == ["a drift 24 r0", "a drift 24 r1"]
    assert found(model="a", kind="drift", since=30) == ["a drift 30 r0", "a drift 30 r1"]
    assert len(found(incident="inc-1")) == 8

    assert evaluations.last_window_end(conn, "a", "drift") == 30
    assert evaluations.last_window_end(conn, "c", "drift") is None
    last = evaluations.evaluation(conn, "a", "drift", 0, 24)
    assert last is not None
    assert last.revision == 1
    assert evaluations.evaluation(conn, "a", "drift", 0, 25) is None
    assert len(list(evaluations.evaluated(conn, model="a", since=30))) == 4
