"""Instants as people give them to a verb, and as a table shows them."""

from __future__ import annotations

from daemon.cli.errors import UsageError
from detectors.instants import Micros, micros, parse_rfc3339, rfc3339


def parse_instant(text: str, now: Micros, option: str) -> Micros:
    """An instant: RFC 3339, a date, or a length of time before `now` such as 7d.

    >>> parse_instant("2013-02-01", 0, "--since") == parse_rfc3339("2013-02-01T00:00:00Z")
    True
    >>> parse_instant("1h", 7_200_000_000, "--since")
    3600000000
    """
    from daemon.config.quantities import parse_duration

    for candidate in (text, f"{text}T00:00:00Z", f"{text}Z", f"{text}:00Z"):
        try:
            return parse_rfc3339(candidate)
        except ValueError:
            continue
    try:
        return now - micros(parse_duration(text))
    except ValueError:
        raise UsageError(
            f"{option} {text}: not an instant; write 2013-02-01T05:00:00Z, 2013-02-01, or how long ago, such as 7d"
        ) from None


def minute(instant: Micros | None) -> str | None:
    """An instant to the minute, as tables show it.

    >>> minute(1360299600000000)
    '2013-02-08 05:00'
    """
    return None if instant is None else rfc3339(instant)[:16].replace("T", " ")


def second(instant: Micros | None) -> str | None:
    """An instant as RFC 3339, without a fraction."""
    return None if instant is None else rfc3339(instant - instant % 1_000_000)
