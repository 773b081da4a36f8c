"""SIGKILL at every named point, and anywhere: no death changes a count, a sample, a metric or a message."""

from __future__ import annotations

import random
import re
from pathlib import Path
from threading import Event

import pytest

from deploy.kafka.local import CHECKOUT
from tests.conftest import Broker
from tests.faults import workload
from tests.faults.model import HOUR
from tests.faults.scenario import Scenario, scenario
from tests.faults.test_collecting import POINTS as COLLECTING
from tests.faults.workload import BURST
from tests.support.daemon import wait_until

CHECKPOINT = (
    "checkpoint.before_transaction:2",
    "checkpoint.inside_transaction:1",
    "checkpoint.after_transaction:3",
    "checkpoint.before_commit:2",
    "checkpoint.after_commit:4",
    "checkpoint.inside_transaction:5",
    "checkpoint.after_transaction:1",
)
OUTBOX = (
    "outbox.before_send:1",
    "outbox.after_send:1",
    "outbox.after_receipt:2",
    "outbox.after_delivered:1",
    "outbox.after_send:2",
    "outbox.before_send:3",
    "outbox.after_receipt:1",
)
EVALUATION = ("evaluation.before_transaction:2", "evaluation.after_transaction:3")
COMPACTION = ("compaction.before_transaction:1", "compaction.before_transaction:1", "compaction.after_transaction:1")
TO_THE_END = ("checkpoint.before_transaction:1", "checkpoint.after_commit:1")
WORKER = "worker.before_result:4"
RANDOM_SEEDS = (11, 12)
RANDOM_KILLS = 6
KILLS_IN_ALL = len((*CHECKPOINT, *EVALUATION, *OUTBOX, *COMPACTION, *TO_THE_END)) + len(RANDOM_SEEDS) * RANDOM_KILLS


def test_every_crash_point_of_the_daemon_is_killed_at() -> None:
    named = {
        match[1]
        for path in (CHECKOUT / "daemon").rglob("*.py")
        for match in re.finditer(r'\breach\("([a-z_.]+)"\)', path.read_text())
    }
    points = (*CHECKPOINT, *EVALUATION, *OUTBOX, *COMPACTION, *TO_THE_END, *COLLECTING, WORKER)
    killed = {point.partition(":")[0] for point in points}
    assert named == killed
    assert KILLS_IN_ALL >= 30


def test_killed_around_its_checkpoints(kafka: Broker, tmp_path: Path) -> None:
    with scenario(workload.make(1), tmp_path, kafka.bootstrap) as run:
        slices = iter(run.workload.slices(30))
        for point in CHECKPOINT:
            run.crash_at(point, slices)
        print(run.finish(slices))
        run.compare_printed()


def test_killed_around_its_verdicts_and_what_it_sends(kafka: Broker, tmp_path: Path) -> None:
    with scenario(workload.make(2), tmp_path, kafka.bootstrap) as run:
        run.produce(run.workload.drafts)
        for point in (*EVALUATION, *OUTBOX):
            run.crash_at(point, iter(()))
        print(run.finish())


def test_killed_while_it_compacts_then_on_its_way_to_the_end_where_workers_die(kafka: Broker, tmp_path: Path) -> None:
    with scenario(workload.make(3), tmp_path, kafka.bootstrap) as run:
        # Each slice is a checkpoint of its own, so the busy hour has more partials than are left side by side.
        start, end = (run.workload.start + hour * HOUR for hour in (BURST, BURST + 1))
        before = [draft for draft in run.workload.drafts if draft.arrival < start]
        busy = [draft for draft in run.workload.drafts if start <= draft.arrival < end]
        after = [draft for draft in run.workload.drafts if draft.arrival >= end]
        step = len(busy) // 19
        slices = iter([before, *(busy[at : at + step] for at in range(0, len(busy), step))])
        for point in COMPACTION:
            run.crash_at(point, slices)
        for drafts in (*slices, after):
            run.produce(drafts)
        for point in TO_THE_END:
            run.crash_at(point, iter(()), "--until-end")
        # The crash point is the workers' now: the daemon lives, and its tasks are done by others.
        run.run_to_the_end(crash_at=WORKER)
        assert run.daemon.log.read_text().count("worker ended during") >= 3
        print(run.compare())


@pytest.mark.parametrize("seed", RANDOM_SEEDS)
def test_killed_anywhere_while_rows_come(kafka: Broker, tmp_path: Path, seed: int) -> None:
    with scenario(workload.make(seed), tmp_path, kafka.bootstrap) as run:
        kill_anywhere(run, random.Random(seed), RANDOM_KILLS)
        print(run.finish())


def kill_anywhere(run: Scenario, chance: random.Random, kills: int) -> None:
    """Produce the workload in slices while the daemon is started and, some moments later, killed again and again."""
    slices = iter(run.workload.slices(4 * kills))
    for _ in range(kills):
        run.daemon.start()
        wait_until(run.is_held, "the daemon has opened its store", run.daemon)
        for _ in range(4):
            run.produce(next(slices))
            # No condition is waited for: when in its life the daemon dies is what is left to chance.
            Event().wait(chance.uniform(0.1, 0.9))
        run.kill()
