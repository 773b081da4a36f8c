"""Upkeep of the store: what is old goes, and how large the rest is."""

from __future__ import annotations

import logging
from collections.abc import Callable

from daemon.config.settings import Settings
from daemon.schedule.watch import Watched
from daemon.store import Store, labels, maintenance
from daemon.store.maintenance import Keep
from detectors.instants import Micros, micros

log = logging.getLogger("driftd.schedule")


class Upkeep:
    """Retention, and the expiry of predictions and labels that no window needs any more."""

    def __init__(self, settings: Settings, store: Store, clock: Callable[[], Micros]) -> None:
        self._watched = {name: Watched.of(settings, name) for name in settings.models}
        kept = settings.store.retention
        self._keep = Keep(micros(kept.results), micros(kept.profiles), micros(kept.samples))
        self._store = store
        self._clock = clock
        self._expired: dict[str, Micros] = {}

    def expire_labels(self) -> None:
        """Lets go of predictions and labels whose windows have been evaluated for the last time."""
        for name, watched in self._watched.items():
            if watched.model.labels is None:
                continue
            with self._store.read() as conn:
                times = watched.times(conn, self._clock())
                needed_from = watched.labels_needed_from(conn, times)
            if needed_from is None or needed_from <= self._expired.get(name, -1):
                continue
            with self._store.write() as conn:
                labels.expire(conn, name, needed_from, several=watched.model.several_labels)
            self._expired[name] = needed_from

    def retain(self) -> None:
        """Deletes what is older than the settings keep."""
        with self._store.write() as conn:
            gone = maintenance.retention(conn, self._keep, now=self._clock())
        if any(gone.values()):
            log.info("retention: %s", ", ".join(f"{count} {kind}" for kind, count in gone.items() if count))
