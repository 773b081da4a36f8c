"""When is a window that failed tried again: a table of cases."""

from __future__ import annotations

import pytest

from daemon.schedule.retries import Failures, Retries, may_retry
from daemon.store.due import DueWindow
from detectors.instants import HOUR, MINUTE, Micros


@pytest.mark.parametrize(
    ("failures", "after", "tried"),
    [
        (None, 0, True),
        (1, MINUTE - 1, False),
        (1, MINUTE, True),
        (2, 9 * MINUTE, False),
        (2, 10 * MINUTE, True),
        (3, 59 * MINUTE, False),
        (3, HOUR, True),
        (4, 90 * 24 * HOUR, False),
    ],
)
def test_failures_are_tried_again_ever_later_and_then_no_more(failures: int | None, after: Micros, tried: bool) -> None:
    given = None if failures is None else Failures(failures, at=5 * HOUR)
    assert may_retry(given, 5 * HOUR + after) is tried


def test_each_window_has_its_own_failures_and_a_success_ends_them() -> None:
    retries = Retries()
    one, other = (DueWindow("m", "drift", end - 1, end, 0, 5, None, 0, end, closed=False) for end in (7, 8))
    retries.note(one, failed=True, now=0)
    retries.note(one, failed=True, now=MINUTE)
    retries.note(other, failed=True, now=MINUTE)
    may = retries.of("m", "drift", 2 * MINUTE)
    assert (may(7), may(8), may(9)) == (False, True, True)
    retries.note(one, failed=False, now=2 * MINUTE)
    assert may(7)
