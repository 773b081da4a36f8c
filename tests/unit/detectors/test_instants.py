"""Instants are whole microseconds, and timestamps mean one instant or are refused."""

from __future__ import annotations

import pytest

from detectors.instants import DAY, HOUR, parse_rfc3339, rfc3339


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-02t00:00:00.5z", DAY + 500_000),
        ("1969-12-31 23:00:00.000001-00:00", -HOUR + 1),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
    ],
)
def test_a_timestamp_is_read(text: str, instant: int) -> None:
    assert parse_rfc3339(text) == instant


@pytest.mark.parametrize(
    "text", ["", "1970-01-01", "1970-01-01T00:00:00", "1970-W01-4T00:00:00Z", "1970-02-30T00:00:00Z", "now"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)


@pytest.mark.parametrize("instant", [0, 1, -1, 1_359_695_820_000_000, DAY * 40_000 + 250_000])
def test_what_is_written_is_read_back(instant: int) -> None:
    assert parse_rfc3339(rfc3339(instant)) == instant
