"""Both questions must be answered yes, at a level that is shared out."""

from __future__ import annotations

import pytest

from detectors.findings import Finding, Signal, Verdict
from detectors.judgement import PORTIONS, Measurement, Share, judge


def measurement(p_value: float | None, **fields: object) -> Measurement:
    segment = fields.pop("segment", None)
    finding = Finding(Signal.FEATURE_DRIFT, "tvd", Verdict.OK, p_value=p_value, segment=segment)  # type: ignore[arg-type]
    return Measurement(finding, **{"share": Share.DRIFT, "large": True} | fields)  # type: ignore[arg-type]


def verdicts(*measurements: Measurement, level: float = 0.02) -> list[Verdict]:
    return [finding.verdict for finding in judge(measurements, {Share.DRIFT: level})]


@pytest.mark.parametrize(
    ("large", "p_value", "verdict"),
    [
        (True, 0.001, Verdict.DRIFT),
        (True, 0.5, Verdict.OK),
        (False, 0.001, Verdict.OK),
        (True, None, Verdict.OK),
        (True, float("nan"), Verdict.OK),
    ],
)
def test_both_questions(large: bool, p_value: float | None, verdict: Verdict) -> None:
    assert verdicts(measurement(p_value, large=large)) == [verdict]


def test_a_rule_asks_for_no_p_value() -> None:
    assert verdicts(measurement(None, rule=True, bad=Verdict.VIOLATED)) == [Verdict.VIOLATED]


def test_what_is_muted_is_flagged_and_says_less() -> None:
    (finding,) = judge([measurement(0.0, muted=Verdict.CALIBRATING)], {Share.DRIFT: 0.02})
    assert (finding.verdict, finding.flagged) == (Verdict.CALIBRATING, True)


def test_what_is_settled_stays() -> None:
    settled = measurement(0.0, settled=True)
    assert judge([settled], {Share.DRIFT: 0.02}) == [settled.finding]


def test_many_columns_share_one_level() -> None:
    quiet = [measurement(0.5) for _ in range(19)]
    assert verdicts(measurement(0.0011), *quiet)[0] is Verdict.OK
    assert verdicts(measurement(0.0009), *quiet)[0] is Verdict.DRIFT


def test_segments_have_half_of_the_level_and_leave_the_other_half() -> None:
    segments = [measurement(0.9, segment={"origin": "JFK"}) for _ in range(500)]
    assert verdicts(measurement(0.009), *segments)[0] is Verdict.DRIFT
    assert verdicts(measurement(0.011), *segments)[0] is Verdict.OK
    assert verdicts(measurement(0.011))[0] is Verdict.DRIFT


def test_shares_do_not_touch_each_other() -> None:
    assert sum(PORTIONS.values()) == pytest.approx(1)
    other = measurement(0.9, share=Share.DATA_QUALITY)
    assert verdicts(measurement(0.019), *[other] * 50)[0] is Verdict.DRIFT
