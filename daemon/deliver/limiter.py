"""How often an address may be posted to."""

from __future__ import annotations

import threading

from detectors.instants import Micros


class Limiter:
    """One post an interval and key. The clock is passed in; threads share it."""

    def __init__(self) -> None:
        self._next: dict[str, Micros] = {}
        self._lock = threading.Lock()

    def take(self, key: str, interval: Micros, now: Micros) -> Micros:
        """Reserve the next slot and say how long to wait for it; 0 when it is now."""
        with self._lock:
            slot = max(now, self._next.get(key, now))
            # A clock that was set back must not hold an address up for as long as it was wrong.
            slot = min(slot, now + 60 * interval)
            self._next[key] = slot + interval
            return slot - now

    def free_at(self, key: str) -> Micros:
        """The instant of the next free slot; 0 when the key was never used."""
        with self._lock:
            return self._next.get(key, 0)
