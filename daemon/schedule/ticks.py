"""The ticks. What is due is a question to the store, so a tick that is missed or late loses nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from daemon.schedule.workers import PoolClosed
from daemon.store import StoreError

log = logging.getLogger("driftd.schedule")

GRACE_SECONDS = 60
"""How late a tick may still run; one that is later is left out, and the next one does its work."""


class Ticks:
    """Calls functions at their intervals, each in a thread and never twice at once."""

    def __init__(self, threads: int = 6) -> None:
        # UTC, because APScheduler would otherwise ask the system for its time zone, which slim containers do not have.
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(threads)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": GRACE_SECONDS},
            timezone="UTC",
        )
        self.failures = 0

    def every(self, seconds: float, name: str, function: Callable[[], Any], *, at_once: bool = True) -> None:
        """Calls `function` each `seconds`, the first time when the ticks start, or one interval later."""
        first = {"next_run_time": datetime.now(UTC)} if at_once else {}
        self._scheduler.add_job(self._guarded(name, function), "interval", seconds=seconds, id=name, name=name, **first)

    def soon(self, name: str) -> None:
        """Calls the function of this name now, and then at its interval; nothing when the ticks are not running."""
        if self._scheduler.running:
            self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))

    def start(self) -> None:
        """Ticks from now on."""
        self._scheduler.start()

    def close(self) -> None:
        """No more ticks; those under way are waited for."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _guarded(self, name: str, function: Callable[[], Any]) -> Callable[[], None]:
        def tick() -> None:
            try:
                function()
            except PoolClosed:
                log.debug("%s ends with the daemon", name)
            except StoreError as error:
                self.failures += 1
                log.warning("%s: %s It is tried again.", name, error)
            except Exception:
                # A tick that fails must not end the ticks; its state is in the store, and the next one asks again.
                self.failures += 1
                log.exception("%s failed; it is tried again", name)

        return tick
