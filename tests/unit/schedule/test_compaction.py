"""Sixteen partials become one that says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daemon.schedule.compaction import Compactor
from daemon.schedule.maintenance import Upkeep
from daemon.schedule.workers import WorkerPool
from daemon.store import books, panes
from daemon.store.panes import FAN_IN
from detectors.instants import DAY, HOUR
from detectors.layout import Layout
from detectors.profile import Profile
from detectors.sample import Sample
from tests.unit.schedule.world import MODEL, START, World, orders, world


def merged(made: World) -> dict[str, object]:
    """What everything says together: counts, sums, extremes and the sample."""
    with made.store.read() as conn:
        parts = panes.load_partials(conn, MODEL, START, START + HOUR)
        body = made.specs.get(conn, parts[0].spec_hash)
    assert body is not None
    layout = Layout.from_bytes(body.layout)
    profile = Profile.merge([Profile.from_bytes(layout, part.profile) for part in parts])
    sample = Sample.merge([Sample.from_bytes(layout, part.sample) for part in parts if part.sample is not None])
    return {
        "counts": {column.name: profile.counts(column.name).tolist() for column in layout.columns},
        "mean": pytest.approx(profile.mean("amount"), rel=1e-12),
        "extremes": (profile.minimum("amount"), profile.maximum("amount")),
        "sample": sample.to_bytes(),
    }


def in_one_hour(made: World, checkpoints: int) -> None:
    frame = orders(0, 1, seed=5)
    frame["ts"] = frame["ts"].dt.floor("1D")
    for part in np.array_split(np.arange(len(frame)), checkpoints):
        made.predict(frame.iloc[part])


@pytest.mark.parametrize("checkpoints", [FAN_IN - 1, FAN_IN, 2 * FAN_IN + 3])
def test_counts_and_samples_stay_equal_to_the_bit(tmp_path: Path, pool: WorkerPool, checkpoints: int) -> None:
    with world(tmp_path, pool, {"labels": None, "task": "none"}) as made:
        in_one_hour(made, checkpoints)
        before = merged(made)
        compactor = Compactor(made.store, pool, made.specs)
        done = sum(iter(lambda: compactor.run(made.wall), 0))
        with made.store.read() as conn:
            left = panes.load_partials(conn, MODEL, START, START + HOUR)
        assert done == checkpoints // FAN_IN
        assert len(left) == checkpoints - done * (FAN_IN - 1)
        assert sum(part.rows for part in left) == 240
        assert merged(made) == before


def test_a_group_that_another_one_has_changed_meanwhile_is_left_alone(tmp_path: Path, pool: WorkerPool) -> None:
    with world(tmp_path, pool, {"labels": None, "task": "none"}) as made:
        in_one_hour(made, FAN_IN)
        with made.store.read() as conn:
            (group,) = panes.compactable(conn)
        with made.store.write() as conn:
            parts = panes.load_parts(conn, group.ids)
            stale = panes.Compaction(*[getattr(group, name) for name in group.__slots__[:-1]], (*group.ids[1:], 10_000))
            assert not panes.replace(conn, stale, rows=240, profile=parts[0].profile, sample=None, now=made.wall)


def test_labels_expire_when_their_windows_were_judged_for_the_last_time(tmp_path: Path, pool: WorkerPool) -> None:
    with world(tmp_path, pool) as made:
        frame = orders(0, 8, seed=5)
        made.predict(frame)
        made.label(frame, until=START + 8 * DAY)
        upkeep = Upkeep(made.settings, made.store, lambda: made.wall)
        upkeep.expire_labels()
        with made.store.read() as conn:
            assert books.books(conn)[MODEL]["awaiting"] == len(frame)
        made.evaluator.turn(flush=True)
        upkeep.expire_labels()
        with made.store.read() as conn:
            counted = books.books(conn)[MODEL]
            assert 0 < counted["awaiting"] < len(frame)
            assert counted["predictions_labelled"] + counted["awaiting"] == len(frame)
