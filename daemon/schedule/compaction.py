"""Sixteen partials of a tier become one: a window of a day never merges thousands of blobs."""

from __future__ import annotations

import logging
from concurrent.futures import Future

from daemon import crashpoints
from daemon.schedule.specs import StoredSpecs
from daemon.schedule.tasks import MERGE, Merged, MergeTask
from daemon.schedule.workers import PoolClosed, WorkerError, WorkerPool
from daemon.store import Store, panes
from daemon.store.panes import Compaction
from detectors.instants import Micros

log = logging.getLogger("driftd.schedule")


class Compactor:
    """Merges partials in worker processes. A group that cannot be merged is left as it is and not tried again."""

    def __init__(self, store: Store, pool: WorkerPool, specs: StoredSpecs) -> None:
        self._store = store
        self._pool = pool
        self._specs = specs
        self._given_up: set[tuple[int, ...]] = set()
        self.merged = 0

    def run(self, now: Micros, limit: int = 100) -> int:
        """Merges at most `limit` groups and returns how many; what is left waits for the next turn."""
        with self._store.read() as conn:
            groups = [g for g in panes.compactable(conn, limit=limit) if g.ids not in self._given_up]
        under_way: list[tuple[Compaction, Future[Merged]]] = []
        done = 0
        for group in groups:
            # As many tasks as slots: each holds the bytes of sixteen partials.
            if len(under_way) >= self._pool.slots:
                done += self._finish(*under_way.pop(0), now)
            if (task := self._task(group)) is not None:
                name = f"compacting {group.model}"
                under_way.append((group, self._pool.submit(MERGE, task, name=name)))
        return done + sum(self._finish(group, future, now) for group, future in under_way)

    def _task(self, group: Compaction) -> MergeTask | None:
        with self._store.read() as conn:
            spec = self._specs.get(conn, group.spec_hash)
            parts = panes.load_parts(conn, group.ids)
        if spec is None or len(parts) != len(group.ids):
            return None
        return MergeTask(
            spec.layout,
            sum(part.rows for part in parts),
            spec.collects,
            tuple(part.profile for part in parts),
            tuple(part.sample for part in parts if part.sample is not None),
        )

    def _finish(self, group: Compaction, future: Future[Merged], now: Micros) -> bool:
        try:
            merged = future.result()
        except PoolClosed:
            return False
        except WorkerError as error:
            log.error("%s: partials %d to %d cannot be merged: %s", group.model, group.ids[0], group.ids[-1], error)
            self._given_up.add(group.ids)
            return False
        crashpoints.reach("compaction.before_transaction")
        with self._store.write() as conn:
            replaced = panes.replace(
                conn, group, rows=merged.rows, profile=merged.profile, sample=merged.sample, now=now
            )
            if replaced and merged.kth_hash is not None:
                panes.lower_sample_threshold(
                    conn, group.model, group.version, group.pane_start, group.spec_hash, merged.kth_hash
                )
        crashpoints.reach("compaction.after_transaction")
        self.merged += replaced
        return replaced
