"""Whether the daemon lives and whether it is ready: pure judgements on instants and facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from detectors.instants import SECOND, Micros


@dataclass(frozen=True, slots=True)
class Beat:
    """A loop's last turn, and how long one turn may take."""

    at: Micros
    within: Micros


def overdue(beats: Mapping[str, Beat], now: Micros) -> list[str]:
    """A sentence for each loop that has not turned within its bound.

    >>> overdue({"intake": Beat(0, 60 * SECOND), "sender": Beat(50 * SECOND, 60 * SECOND)}, 90 * SECOND)
    ['intake has not turned for 90 s; its bound is 60 s']
    """
    return [
        f"{loop} has not turned for {(now - beat.at) // SECOND} s; its bound is {beat.within // SECOND} s"
        for loop, beat in sorted(beats.items())
        if now - beat.at > beat.within
    ]


@dataclass(frozen=True, slots=True)
class Health:
    """What the two health routes ask: each returns the sentences of what is wrong, none when all is well."""

    alive: Callable[[], list[str]]
    ready: Callable[[], list[str]]
