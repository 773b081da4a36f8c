"""Windows and panes: half-open slices of event time, in microseconds since the epoch.

Windows end at multiples of `every`, counted from the epoch; a window is [end - size, end). A pane is the smallest
slice that state is kept for: it divides `size` and `every`, so that every window is a run of whole panes.
"""

from __future__ import annotations

from datetime import timedelta
from math import gcd

from daemon.config.settings import Window

Micros = int

MICROSECOND = timedelta(microseconds=1)
LONGEST_PANE: Micros = 3_600_000_000


def micros(duration: timedelta) -> Micros:
    """A duration in microseconds."""
    return duration // MICROSECOND


def pane_length(window: Window) -> Micros:
    """The largest divisor of gcd(size, every) that is at most one hour.

    >>> pane_length(Window(size="1d", every="6h")) == LONGEST_PANE
    True
    >>> pane_length(Window(size="90m", every="30m")) // 60_000_000
    30
    """
    common = gcd(micros(window.size), micros(window.every))
    pieces = -(-common // LONGEST_PANE)
    while common % pieces:
        pieces += 1
    return common // pieces


def pane_start(window: Window, instant: Micros) -> Micros:
    """The start of the pane that an instant falls in."""
    return instant - instant % pane_length(window)


def window_ends(window: Window, after: Micros, until: Micros) -> range:
    """The ends of windows in (after, until], in order."""
    every = micros(window.every)
    return range((after // every + 1) * every, until + 1, every)


def last_window_end(window: Window, instant: Micros) -> Micros:
    """The end of the last window that holds an instant: when its watermark passes, the pane is complete."""
    latest, every = instant + micros(window.size), micros(window.every)
    return latest - latest % every


def allowed_lateness(window: Window) -> Micros:
    """How long after its end a window may be revised: what is configured, else one size."""
    return micros(window.size if window.allowed_lateness is None else window.allowed_lateness)
