"""The log is one line an event, whatever happens."""

from __future__ import annotations

import logging
import sys

from daemon.cli.logs import OneLine


def test_a_traceback_stays_on_its_events_line() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        record = logging.LogRecord("driftd", logging.ERROR, __file__, 1, "it failed: %s", ("here",), sys.exc_info())
    record.created = 0.0
    line = OneLine().format(record)
    assert line.startswith("1970-01-01T00:00:00Z ERROR driftd it failed: here | Traceback")
    assert "\n" not in line
    assert line.endswith("ValueError: first | second")
