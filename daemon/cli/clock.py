"""The clock: the one place where the daemon's decisions get their time from."""

from __future__ import annotations

import time

from detectors.instants import Micros


def wall_clock() -> Micros:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000
