"""Event times: what is read, what is believed, what is late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.stream.event_time import EARLIEST, FEW, FUTURE, NEVER, Lateness, implausible, read
from detectors.instants import HOUR, MINUTE, parse_rfc3339

INSTANT = 1_359_695_820_000_000


@pytest.mark.parametrize(
    ("value", "unit", "instant"),
    [
        ("2013-02-01T05:17:00Z", "rfc3339", INSTANT),
        ("2013-02-01T05:17:00.25Z", "rfc3339", INSTANT + 250_000),
        ("2013-02-01T05:17:00.123456789Z", "rfc3339", INSTANT + 123_456),
        ("2013-02-01 06:17:00+01:00", "rfc3339", INSTANT),
        ("2013-02-30T05:17:00Z", "rfc3339", NEVER),
        ("2013-02-01T05:17:00", "rfc3339", NEVER),
        ("2013-02-01T05:17:60Z", "rfc3339", NEVER),
        ("1359695820", "rfc3339", NEVER),
        (1_359_695_820, "s", INSTANT),
        (1_359_695_820.5, "s", INSTANT + 500_000),
        (1_359_695_820_000, "ms", INSTANT),
        (INSTANT, "us", INSTANT),
        (INSTANT * 1_000, "ns", INSTANT),
        (2**70, "s", NEVER),
        (10**18, "s", NEVER),
        (float("inf"), "s", NEVER),
        (True, "s", NEVER),
    ],
)
def test_a_timestamp_names_an_instant_or_none(value: object, unit: str, instant: int) -> None:
    for count in (1, FEW):
        assert read([value] * count, unit).tolist() == [instant] * count
    # beside others of every kind it means the same
    for other in ("2013-02-01T05:17:00Z", 5, 5.5, None):
        assert read([other, value, other] * FEW, unit).tolist()[1] == instant


@given(
    st.lists(st.datetimes(), min_size=1, max_size=20),
    st.integers(0, 9),
    st.integers(0, 999_999_999),
)
def test_texts_read_together_are_what_each_is_by_itself(moments: list[datetime], places: int, fraction: int) -> None:
    tail = f".{fraction:09d}"[: places + 1] if places else ""
    texts = [moment.replace(microsecond=0).isoformat() + tail + "Z" for moment in moments]
    alone = [parse_rfc3339(text) for text in texts]
    assert read(texts, "rfc3339").tolist() == alone
    assert read(texts * FEW, "rfc3339").tolist() == alone * FEW


def test_no_text_is_misread_for_its_length() -> None:
    # Together as long as two right ones
    assert set(read(["2013-02-01T05:17:00Z2", "013-02-01T05:17:00Z"] * FEW, "rfc3339").tolist()) == {NEVER}


def test_what_lies_before_2000_or_after_its_record_is_implausible() -> None:
    times = np.array([EARLIEST - 1, EARLIEST, INSTANT + FUTURE, INSTANT + FUTURE + 1, INSTANT + FUTURE + 1, NEVER])
    records = np.array([INSTANT, INSTANT, INSTANT, INSTANT, -1_000, -1_000])
    assert implausible(times, records).tolist() == [True, False, False, True, False, True]


WINDOW = Lateness(pane=HOUR, size=2 * HOUR, watermark_delay=10 * MINUTE, allowed_lateness=HOUR)


def late_one_by_one(times: list[int], highest: int | None) -> list[bool]:
    """The rule as stream.md says it, row by row."""
    found = []
    for time in times:
        start = time - time % WINDOW.pane
        mark = None if highest is None else highest - WINDOW.watermark_delay
        found.append(mark is not None and start + WINDOW.size <= mark - WINDOW.allowed_lateness)
        highest = time if highest is None else max(highest, time)
    return found


@given(
    st.lists(st.integers(0, 20 * 6).map(lambda n: INSTANT + n * 10 * MINUTE), max_size=30),
    st.none() | st.integers(0, 20 * 6).map(lambda n: INSTANT + n * 10 * MINUTE),
    st.integers(0, 30),
)
def test_late_is_a_function_of_what_was_read_before(times: list[int], highest: int | None, cut: int) -> None:
    expected = late_one_by_one(times, highest)
    assert WINDOW.late(np.array(times, dtype=np.int64), highest).tolist() == expected
    # in whatever batches they come
    first, second = times[:cut], times[cut:]
    seen = max([*first, *([] if highest is None else [highest])], default=None)
    both = [
        *WINDOW.late(np.array(first, dtype=np.int64), highest).tolist(),
        *WINDOW.late(np.array(second, dtype=np.int64), seen).tolist(),
    ]
    assert both == expected


def test_a_pane_closes_exactly_at_its_bound() -> None:
    start = INSTANT // HOUR * HOUR
    bound = start + WINDOW.size + WINDOW.allowed_lateness + WINDOW.watermark_delay
    assert WINDOW.late(np.array([start]), bound - 1).tolist() == [False]
    assert WINDOW.late(np.array([start]), bound).tolist() == [True]


def test_the_examples_are_in_utc() -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=INSTANT) == datetime(2013, 2, 1, 5, 17, tzinfo=UTC)
