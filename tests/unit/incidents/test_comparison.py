"""Which incidents two tellings of one history have in common."""

from __future__ import annotations

import pytest

from daemon.incidents.comparison import Outcome, compare
from daemon.incidents.incident import Family, Incident, Severity, State
from detectors.instants import DAY

Told = tuple[str, Family, int, int]


def incident(number: int, told: Told) -> Incident:
    """An incident of a model and family whose flagged windows lie between two days."""
    model, family, since, until = told
    return Incident(
        id=f"inc-{number}",
        model=model,
        family=family,
        state=State.FIRING,
        severity=Severity.NOTIFY,
        since=since * DAY,
        opened_at=until * DAY,
        updated_at=until * DAY,
        window_start=(until - 1) * DAY,
        window_end=until * DAY,
        lines=(),
    )


A, DATA = ("orders", Family.MODEL), ("orders", Family.DATA)


@pytest.mark.parametrize(
    ("present", "changed", "outcomes"),
    [
        pytest.param([], [], [], id="nothing on both sides"),
        pytest.param([(*A, 1, 3)], [(*A, 2, 5)], ["kept"], id="overlapping windows are one incident"),
        pytest.param([(*A, 1, 3)], [(*A, 3, 5)], ["lost", "gained"], id="windows that only touch are two"),
        pytest.param([(*A, 1, 3)], [(*DATA, 1, 3)], ["lost", "gained"], id="of another family"),
        pytest.param([(*A, 1, 3)], [("other", Family.MODEL, 1, 3)], ["lost", "gained"], id="of another model"),
        pytest.param([(*A, 1, 9)], [(*A, 1, 3), (*A, 4, 9)], ["gained", "kept"], id="one that became two"),
        pytest.param([(*A, 1, 3), (*A, 4, 9)], [(*A, 1, 9)], ["lost", "kept"], id="two that became one"),
    ],
)
def test_incidents_are_paired_by_their_windows(present: list[Told], changed: list[Told], outcomes: list[str]) -> None:
    pairs = compare(
        [incident(number, told) for number, told in enumerate(present)],
        [incident(number, told) for number, told in enumerate(changed)],
    )
    assert sorted(pair.outcome.value for pair in pairs) == sorted(outcomes)
    assert [pair.since for pair in pairs] == sorted(pair.since for pair in pairs)
    kept = [pair for pair in pairs if pair.outcome is Outcome.KEPT]
    for pair in kept:
        assert pair.present is not None
        assert pair.changed is not None
