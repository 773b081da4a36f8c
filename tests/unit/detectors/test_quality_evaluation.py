"""The quality of a window: limits, the reference as the floor, versions and segments."""

from __future__ import annotations

import functools
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from detectors.columns import Role
from detectors.evaluation import EvaluationResult, QualityInput, evaluate_quality
from detectors.findings import Finding, Signal, Verdict
from detectors.quality.floor import QualityFloor
from detectors.quality.limits import against_limits
from detectors.quality.metric import Measured, Worse
from detectors.reference import Reference
from detectors.rules import QualityLimit, Rules
from tests.unit.detectors.windows import DAY, START, day_times, made_reference

DAYS, ROWS = 20, 400


def rows(count: int = ROWS, seed: int = 0, noise: float = 5.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    prediction = random.normal(10, 3, count)
    return pd.DataFrame(
        {
            "prediction": prediction,
            "origin": random.choice(["JFK", "LGA"], count).astype(object),
            "label": prediction + random.normal(0, noise, count),
        }
    )


@functools.cache
def reference(*, labelled: bool = True) -> Reference:
    frame = rows(DAYS * ROWS, seed=9)
    return made_reference(
        frame,
        event_time=day_times(len(frame), DAYS),
        roles={"prediction": Role.PREDICTION},
        label="label" if labelled else None,
        segment_by=[("origin",)],
        task="regression",
    )


def stream(frame: pd.DataFrame, versions: list[str] | None = None) -> bytes:
    table = pa.table(
        {
            "version": pa.array(versions or ["1"] * len(frame)),
            "prediction": pa.array(frame["prediction"]),
            "label": pa.array(frame["label"]),
            "seg": pa.array([json.dumps({"origin": origin}) for origin in frame["origin"]]),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def judged(
    frame: pd.DataFrame, *, of: Reference | None = None, versions: list[str] | None = None, **rules: object
) -> EvaluationResult:
    given = Rules(task="regression", **rules)  # type: ignore[arg-type]
    return evaluate_quality(
        QualityInput(
            START,
            START + DAY,
            (of or reference()).to_bytes(),
            given,
            stream(frame, versions),
            2 * len(frame),
            len(frame),
        )
    )


def finding(result: EvaluationResult, metric: str, **fields: object) -> Finding:
    wanted = {"version": None, "segment": None} | fields
    (one,) = [f for f in result.findings if f.metric == metric and all(getattr(f, k) == v for k, v in wanted.items())]
    return one


def test_an_ordinary_window_has_every_metric_beside_its_usual_value() -> None:
    result = judged(rows(seed=1))
    assert {f.metric for f in result.findings if f.segment is None} == {"mae", "rmse", "mape", "bias", "r2"}
    assert {f.verdict for f in result.findings if f.segment is None} == {Verdict.OK}
    mae = finding(result, "mae")
    assert mae.signal is Signal.QUALITY
    assert mae.value == pytest.approx(4, abs=0.5)
    assert mae.usual == pytest.approx(4, abs=0.1)
    assert mae.threshold == pytest.approx(4.8, abs=0.1)
    assert mae.noise_floor == pytest.approx(4.3, abs=0.3)
    assert mae.detail is not None
    assert mae.detail.startswith("95 % interval ")
    assert mae.detail.endswith(f"{ROWS} of {2 * ROWS} predictions have a label")


def test_a_worse_window_is_degraded() -> None:
    mae = finding(judged(rows(seed=1, noise=8)), "mae")
    assert mae.verdict is Verdict.DEGRADED
    assert mae.flagged
    assert not mae.immediate
    assert mae.p_value is not None
    assert mae.p_value < 1e-4


def test_a_limit_in_the_metrics_unit_needs_no_reference() -> None:
    result = judged(rows(seed=1), of=reference(labelled=False), quality={"mae": QualityLimit(maximum=3)})
    mae = finding(result, "mae")
    assert mae.verdict is Verdict.DEGRADED
    assert mae.threshold == 3
    assert mae.usual is None
    assert finding(result, "rmse").verdict is Verdict.OK


def test_few_labels_say_nothing() -> None:
    mae = finding(judged(rows(50)), "mae")
    assert mae.verdict is Verdict.INSUFFICIENT_DATA
    assert mae.detail == "50 labelled rows, 200 are needed"


def test_no_label_at_all() -> None:
    result = judged(rows(300).assign(label=np.nan))
    assert result.rows == 0
    assert {f.verdict for f in result.findings} == {Verdict.INSUFFICIENT_DATA}


def test_versions_are_measured_apart_when_there_are_several() -> None:
    frame = pd.concat([rows(300, 1), rows(300, 2, noise=12)])
    result = judged(frame, versions=["6"] * 300 + ["7"] * 300)
    assert finding(result, "mae", version="6").verdict is Verdict.OK
    assert finding(result, "mae", version="7").verdict is Verdict.DEGRADED
    assert finding(result, "mae").rows == 600


def test_a_segment_has_its_own_value() -> None:
    frame = rows(3_000, 1)
    frame.loc[frame["origin"] == "JFK", "label"] += 20
    result = judged(frame, quality={"mae": QualityLimit(maximum=15)}, segment_min_rows=500)
    jfk = finding(result, "mae", segment={"origin": "JFK"})
    assert jfk.verdict is Verdict.DEGRADED
    assert jfk.value == pytest.approx(20, abs=1)
    assert finding(result, "mae", segment={"origin": "LGA"}).verdict is Verdict.OK


def test_a_small_segment_is_insufficient() -> None:
    result = judged(rows(seed=1), quality={"mae": QualityLimit(maximum=15)})
    assert finding(result, "mae", segment={"origin": "JFK"}).verdict is Verdict.INSUFFICIENT_DATA


def test_an_unreadable_frame_is_an_error() -> None:
    result = evaluate_quality(
        QualityInput(START, START + DAY, reference().to_bytes(), Rules(task="regression"), b"x", 1, 1)
    )
    (only,) = result.findings
    assert only.verdict is Verdict.ERROR


def test_a_task_without_metrics_has_no_findings() -> None:
    given = QualityInput(START, START + DAY, reference().to_bytes(), Rules(task="none"), stream(rows()), 1, 1)
    assert evaluate_quality(given).findings == ()


FLOOR = QualityFloor(10.0, 0.1, 8_000, tuple(np.linspace(9, 11, 20)), (0.2,) * 20)


@pytest.mark.parametrize(
    ("value", "worse", "limit", "threshold", "beyond", "rule"),
    [
        (11.0, Worse.HIGHER, QualityLimit(maximum=12), 12.0, False, True),
        (13.0, Worse.HIGHER, QualityLimit(maximum=12), 12.0, True, True),
        (13.0, Worse.HIGHER, QualityLimit(worse_than_reference=0.2), 12.0, True, False),
        (12.5, Worse.HIGHER, QualityLimit(maximum=15, worse_than_reference=0.2), 12.0, True, False),
        (16.0, Worse.HIGHER, QualityLimit(maximum=15, worse_than_reference=0.2), 15.0, True, True),
        (7.0, Worse.LOWER, QualityLimit(worse_than_reference=0.2), 8.0, True, False),
        (7.0, Worse.LOWER, QualityLimit(minimum=6), 6.0, False, True),
        (-13.0, Worse.FARTHER, QualityLimit(worse_than_reference=0.2), -12.0, True, False),
    ],
)
def test_which_limit_counts(
    value: float, worse: Worse, limit: QualityLimit, threshold: float, beyond: bool, rule: bool
) -> None:
    found = against_limits("mae", value, worse, limit, FLOOR)
    assert found is not None
    assert (found.threshold, found.beyond, found.rule) == (pytest.approx(threshold), beyond, rule)


def test_the_floor_knows_what_windows_vary_by() -> None:
    ordinary = Measured.normal(11.0, 0.2, 400)
    far = Measured.normal(15.0, 0.2, 400)
    assert FLOOR.p_value(ordinary, Worse.HIGHER) > 0.02
    assert FLOOR.p_value(far, Worse.HIGHER) < 1e-4
    assert FLOOR.p_value(far, Worse.LOWER) > 0.99
    assert FLOOR.noise_floor(Worse.HIGHER) == pytest.approx(10.9, abs=0.1)
    assert FLOOR.noise_floor(Worse.LOWER) == pytest.approx(9.1, abs=0.1)
    assert QualityFloor(10.0, 0.1, 8_000).noise_floor(Worse.HIGHER) is None
    assert QualityFloor(10.0, 0.1, 8_000).p_value(ordinary, Worse.HIGHER) < 1e-4
