"""Instants and lengths of time: whole microseconds since the epoch, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

Micros = int
"""An instant (microseconds since 1970-01-01T00:00:00Z) or a length of time, in microseconds."""

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# fromisoformat also takes week dates, missing offsets and any separator; a timestamp on the wire must not.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def micros(length: timedelta) -> Micros:
    """The length in microseconds.

    >>> micros(timedelta(hours=6)) == 6 * HOUR
    True
    """
    return length // _MICROSECOND


def rfc3339(instant: Micros) -> str:
    """The instant as RFC 3339 text in UTC; a fraction only when there is one.

    >>> rfc3339(1359695820000000)
    '2013-02-01T05:17:00Z'
    """
    return (_EPOCH + instant * _MICROSECOND).isoformat().replace("+00:00", "Z")


def parse_rfc3339(text: str) -> Micros:
    """The instant that RFC 3339 text names; digits beyond the microsecond are cut off.

    Raises ValueError when the text is anything else, such as a time without an offset.

    >>> parse_rfc3339("2013-02-01T06:17:00+01:00")
    1359695820000000
    """
    if _RFC3339.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2013-02-01T05:17:00Z")
    moment = datetime.fromisoformat(text[:10] + "T" + text[11:].upper())
    return (moment - _EPOCH) // _MICROSECOND
