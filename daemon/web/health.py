"""Whether the daemon lives and whether it is ready: pure judgements on beats and facts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from detectors.instants import SECOND, Micros


@dataclass(frozen=True, slots=True)
class Beat:
    """A loop's last turn and how long one turn may take."""

    at: Micros
    within: Micros


@dataclass(slots=True)
class Heartbeats:
    """The loops of the daemon report here; any thread may write."""

    _beats: dict[str, Beat] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, loop: str, now: Micros, within: Micros) -> None:
        """From now on `loop` turns at least once `within` that many microseconds."""
        with self._lock:
            self._beats[loop] = Beat(now, within)

    def beat(self, loop: str, now: Micros) -> None:
        """`loop` has turned; a loop that nobody expects is not watched."""
        with self._lock:
            if (expected := self._beats.get(loop)) is not None:
                self._beats[loop] = Beat(now, expected.within)

    def retire(self, loop: str) -> None:
        """`loop` has come to its end on purpose."""
        with self._lock:
            self._beats.pop(loop, None)

    def all(self) -> Mapping[str, Beat]:
        with self._lock:
            return dict(self._beats)


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
    """What the two health routes ask.

    `alive` and `ready` return the sentences of what is wrong; empty lists mean that all is well.
    """

    alive: Callable[[], list[str]]
    ready: Callable[[], list[str]]
