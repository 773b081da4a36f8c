"""What the process is told by signals, from its start to its end, whichever configuration it runs by meanwhile."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from types import FrameType

log = logging.getLogger("driftd")


class Signals:
    """SIGTERM and SIGINT: end in order, and at once when they come again. SIGHUP: read the configuration anew."""

    def __init__(self) -> None:
        self.stopping = False
        self.reloading = False
        self._notify: Callable[[], None] = lambda: None

    def install(self, *, with_reload: bool) -> None:
        """Handles the signals from now on; must be called by the main thread."""
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        if with_reload:
            signal.signal(signal.SIGHUP, self._on_reload)

    def listen(self, notify: Callable[[], None]) -> None:
        """Calls `notify` at each signal; at once when one has come that nobody listened for."""
        self._notify = notify
        if self.stopping or self.reloading:
            notify()

    def _on_stop(self, number: int, _: FrameType | None) -> None:
        if self.stopping:
            # The second time somebody is in earnest. Nothing is lost: whatever counts is in the store.
            os._exit(128 + number)
        log.info("%s: stopping; once more ends it at once", signal.Signals(number).name)
        self.stopping = True
        self._notify()

    def _on_reload(self, *_: object) -> None:
        self.reloading = True
        self._notify()
