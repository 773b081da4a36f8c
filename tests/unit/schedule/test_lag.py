"""When does a partition count as standing still, and driftd as lagging: tables of cases."""

from __future__ import annotations

import pytest

from daemon.schedule.lag import Look, Partition, caught_up, lagging, stalled
from detectors.findings import Verdict
from detectors.instants import DAY, HOUR, MINUTE, SECOND


def partition(
    *,
    next: int = 10,
    end: int | None = 10,
    asked_at: int | None = 0,
    moved_at: int = 0,
    last: int | None = 0,
    looks: tuple[Look, ...] = (Look(0, 3, 10),),
) -> Partition:
    return Partition("flights", 0, next, end, asked_at, moved_at, last, looks)


@pytest.mark.parametrize(
    ("partitions", "expected"),
    [
        ([partition(asked_at=50 * SECOND)], True),
        ([partition(asked_at=0)], False),
        ([partition(asked_at=None, end=None)], False),
        ([partition(asked_at=50 * SECOND), partition(asked_at=50 * SECOND, next=9)], False),
        ([], False),
    ],
)
def test_a_silence_is_the_producers_only_when_nothing_waits(partitions: list[Partition], expected: bool) -> None:
    assert caught_up(partitions, MINUTE, 30 * SECOND) is expected


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (partition(next=3, moved_at=0), Verdict.VIOLATED),
        (partition(next=3, moved_at=5 * MINUTE), Verdict.OK),
        (partition(next=10, moved_at=0), Verdict.OK),
        (partition(end=None), Verdict.OK),
    ],
)
def test_a_partition_stands_still_when_records_wait_and_none_is_read(given: Partition, verdict: Verdict) -> None:
    assert stalled([partition(), given], 11 * MINUTE).verdict is verdict


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (partition(next=3, last=0), Verdict.VIOLATED),
        (partition(next=3, last=10 * MINUTE), Verdict.OK),
        (partition(next=10, last=0), Verdict.OK),
        (partition(next=3, last=None), Verdict.OK),
    ],
)
def test_lag_counts_only_while_records_wait(given: Partition, verdict: Verdict) -> None:
    finding = lagging([given], 20 * MINUTE)
    assert finding is not None
    assert finding.verdict is verdict
    if verdict is Verdict.VIOLATED:
        assert finding.value == 1200
        assert finding.detail == "flights[0] is 20 min behind; 7 records wait to be read"


LONG_AGO = -DAY


@pytest.mark.parametrize(
    ("given", "says"),
    [
        # A record waits that is an hour old, as it was a quarter of an hour ago, and nothing or little was read since.
        (partition(next=3, end=10, last=-HOUR, looks=(Look(-16 * MINUTE, 3, 9),)), "told"),
        (partition(next=103, end=310, last=-HOUR, looks=(Look(-16 * MINUTE, 3, 210),)), "told"),
        # More is read than is written: a backlog, or the time when the daemon was down.
        (partition(next=153, end=310, last=-HOUR, looks=(Look(-16 * MINUTE, 3, 210),)), "held"),
        (partition(next=4, end=10_000, last=LONG_AGO, looks=(Look(-16 * MINUTE, 3, 10_000),)), "held"),
        # All that waited a quarter of an hour ago is read: the lag began since, such as a burst after a quiet night.
        (partition(next=9, end=5_000, last=-HOUR, looks=(Look(-16 * MINUTE, 9, 9),)), "held"),
        # The model, or the daemon, has just begun.
        (partition(next=3, end=10_000, last=LONG_AGO, looks=()), "held"),
        (partition(next=3, end=10_000, last=LONG_AGO, looks=(Look(-14 * MINUTE, 3, 10_000),)), "held"),
        # Nothing waits, or the last record is young.
        (partition(next=10, end=10, last=LONG_AGO, looks=()), "quiet"),
        (partition(next=3, end=10, last=-5 * MINUTE, looks=()), "quiet"),
    ],
)
def test_lag_is_told_only_of_a_reader_that_does_not_catch_up(given: Partition, says: str) -> None:
    finding = lagging([given], 0)
    expected = {"held": None, "told": Verdict.VIOLATED, "quiet": Verdict.OK}[says]
    assert (None if finding is None else finding.verdict) is expected


def test_the_partition_that_does_not_catch_up_is_told_beside_one_that_does() -> None:
    slow = partition(next=3, last=-HOUR, looks=(Look(-HOUR, 3, 9),))
    fast = partition(next=3, end=99, last=LONG_AGO, looks=())
    finding = lagging([fast, slow], 0)
    assert finding is not None
    assert finding.value == 3600
