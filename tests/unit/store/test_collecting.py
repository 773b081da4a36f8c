"""Which windows of live traffic become the reference, and how far reading may go meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from sqlalchemy import Connection

from daemon.store import collecting, gaps, panes, specs
from daemon.store.collecting import BEGUN_MIDWAY, LOST_ROWS, NOTHING, TOO_FEW_ROWS, Barrier, Collection
from daemon.store.gaps import Gap
from detectors.instants import DAY, HOUR, MINUTE, Micros

DELAY: Micros = 10 * MINUTE
START: Micros = 16_000 * DAY


def begun(conn: Connection, *, wanted: int = 3, is_labelled: bool = True) -> Collection:
    """A collection of daily windows with at least 10 rows."""
    specs.add_spec(conn, "collecting", b"", 0)
    made = Collection("m", "collecting", DAY, HOUR, DELAY, 10, wanted, 0, is_labelled=is_labelled)
    collecting.begin(conn, made)
    return made


def count(conn: Connection, rows: Mapping[Micros, int], spec: str = "collecting") -> None:
    """Rows by pane."""
    for pane, number in rows.items():
        panes.add_partial(
            conn,
            "m",
            "",
            pane,
            spec,
            rows=number,
            profile=b"",
            sample=b"",
            kth_hash=None,
            min_event_time=pane,
            max_event_time=pane,
            now=0,
        )


def day(number: int, hour: int = 0) -> Micros:
    return START + number * DAY + hour * HOUR


def decided(conn: Connection) -> list[tuple[int, int, str | None]]:
    return [((one.start - START) // DAY, one.rows, one.skipped) for one in collecting.windows(conn, "m")]


def barrier(conn: Connection) -> Micros | None:
    return collecting.barriers(conn)["m"].predictions


def test_until_something_is_decided_each_partition_stops_at_its_first_row(conn: Connection) -> None:
    begun(conn)
    assert barrier(conn) == NOTHING
    collecting.decide(conn, "m", None)
    assert barrier(conn) == NOTHING


def test_reading_goes_on_to_where_the_reference_can_end_at_the_earliest(conn: Connection) -> None:
    begun(conn)
    # Given the first rows of all partitions, at the beginning of day 0
    collecting.decide(conn, "m", day(0) - DELAY)
    # Then the day before is still open, and three days may follow one another from there
    assert barrier(conn) == day(2, 1)
    # When day 0 has 25 rows, and every partition has shown a row of 01:00 on day 1
    count(conn, {day(0): 5, day(0, 7): 20})
    collecting.decide(conn, "m", day(1, 1) - DELAY)
    assert decided(conn) == [(0, 25, None)]
    assert barrier(conn) == day(3, 1)


def test_a_window_is_decided_only_when_every_partition_has_passed_what_closes_it(conn: Connection) -> None:
    begun(conn)
    count(conn, {day(0): 20})
    collecting.decide(conn, "m", day(1, 1) - DELAY - 1)
    assert decided(conn) == []
    collecting.decide(conn, "m", day(1, 1) - DELAY)
    assert decided(conn) == [(0, 20, None)]


def test_windows_are_skipped_with_the_reason(conn: Connection) -> None:
    begun(conn)
    # Given reading that began at noon of day 0, a thin day 1, an empty day 2, lost rows in day 3, two sound days
    count(conn, {day(0, 12): 20, day(1): 9, day(3): 20, day(4): 20, day(5): 20})
    lost = Gap("m", "predictions", "c", "t", "id", 0, 0, 5, day(3, 4), day(3, 5), "gone", 0)
    gaps.record_gap(conn, lost)
    # When
    collecting.decide(conn, "m", day(7))
    # Then
    assert decided(conn) == [
        (0, 20, BEGUN_MIDWAY),
        (1, 9, TOO_FEW_ROWS),
        (3, 20, LOST_ROWS),
        (4, 20, None),
        (5, 20, None),
    ]
    assert barrier(conn) == day(7, 1)


@pytest.mark.parametrize("steps", [[8], [1, 2, 3, 4, 5, 6, 7, 8], [3, 5, 8]])
def test_how_often_it_is_asked_changes_nothing(conn: Connection, steps: list[int]) -> None:
    begun(conn, wanted=4)
    count(conn, {day(number): 20 if number != 2 else 3 for number in range(7)})
    for number in steps:
        collecting.decide(conn, "m", day(number))
    assert decided(conn) == [(0, 20, None), (1, 20, None), (2, 3, TOO_FEW_ROWS), (3, 20, None), (4, 20, None)]
    # The reference has ended: nothing beyond is looked at, and reading stops for good.
    assert barrier(conn) == day(5, 1)


def test_rows_of_another_spec_are_none_of_its_windows(conn: Connection) -> None:
    begun(conn)
    count(conn, {day(0): 20}, spec="other")
    count(conn, {day(1): 20})
    collecting.decide(conn, "m", day(3))
    assert decided(conn) == [(1, 20, None)]


def test_a_reference_that_cannot_be_used_makes_room_for_one_more_window(conn: Connection) -> None:
    begun(conn, wanted=2)
    count(conn, {day(number): 20 for number in range(4)})
    collecting.decide(conn, "m", day(4))
    assert barrier(conn) == day(2, 1)
    collecting.drop_first(conn, "m", "every prediction is 0")
    assert barrier(conn) == day(3, 1)
    collecting.decide(conn, "m", day(4))
    assert [number for number, _, skipped in decided(conn) if skipped is None] == [1, 2]
    found = collecting.load(conn, "m")
    assert found is not None
    sentence = collecting.progress(found, collecting.windows(conn, "m"))
    assert sentence.endswith("2 of 2 windows; not usable so far: every prediction is 0")


def test_labels_are_read_on_until_they_have_been_looked_up(conn: Connection) -> None:
    begun(conn, wanted=1, is_labelled=False)
    count(conn, {day(0): 20})
    collecting.decide(conn, "m", day(2))
    assert collecting.barriers(conn)["m"] == Barrier(day(1, 1), day(1, 1))
    collecting.set_built(conn, "m", judged_from=day(1, 1), request_hash="r", is_labelled=False)
    assert collecting.barriers(conn)["m"] == Barrier(None, day(1, 1))
    collecting.set_labelled(conn, "m", None, None)
    assert collecting.barriers(conn) == {}


def test_samples_are_needed_until_their_windows_are_merged(conn: Connection) -> None:
    begun(conn, wanted=2)
    assert collecting.needed_from(conn, "m") == 0
    count(conn, {day(0): 20, day(1): 20})
    collecting.decide(conn, "m", day(3))
    assert collecting.needed_from(conn, "m") == day(0)
    collecting.keep_sample(conn, "m", day(0), b"rows")
    assert collecting.needed_from(conn, "m") == day(1)
    collecting.set_built(conn, "m", judged_from=day(2, 1), request_hash="r", is_labelled=True)
    assert collecting.needed_from(conn, "m") is None
