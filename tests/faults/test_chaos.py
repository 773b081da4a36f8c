"""Two hundred kills by seed: `make chaos`. It prints what it did, and how to do the same again."""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from threading import Event

import pytest

from tests.conftest import Broker
from tests.faults import workload
from tests.faults.scenario import Compared, Scenario, scenario
from tests.support.daemon import TookTooLong, wait_until

SEED, KILLS = "DRIFTD_CHAOS_SEED", "DRIFTD_CHAOS_KILLS"
A_ROUND = 12
ANYWHERE = "anywhere"
POINTS = (
    "checkpoint.before_transaction",
    "checkpoint.inside_transaction",
    "checkpoint.after_transaction",
    "checkpoint.before_commit",
    "checkpoint.after_commit",
    "outbox.before_send",
    "outbox.after_send",
    "outbox.after_receipt",
    "outbox.after_delivered",
    "compaction.before_transaction",
    "compaction.after_transaction",
)


@pytest.mark.chaos
def test_no_kill_changes_a_number(
    kafka: Broker, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    first = int(os.environ.get(SEED) or random.SystemRandom().randrange(1_000_000))
    wanted = int(os.environ.get(KILLS) or 200)
    kills: Counter[str] = Counter()
    compared = Compared()
    seed = first
    while sum(kills.values()) < wanted:
        with scenario(workload.make(seed), tmp_path_factory.mktemp(f"chaos-{seed}"), kafka.bootstrap) as run:
            try:
                round_ = _round(run, random.Random(seed), min(A_ROUND, wanted - sum(kills.values())))
            except BaseException:
                with capsys.disabled():
                    print(f"\nseed {seed} failed after the kills {run.kills}; its folder is {run.folder}")
                    print(f"Again: make chaos {SEED}={seed} {KILLS}={A_ROUND}", flush=True)
                raise
            kills.update(run.kills)
            compared += round_
            with capsys.disabled():
                print(f"\nseed {seed}: {len(run.kills)} kills ({', '.join(run.kills)}): {round_}", flush=True)
        seed += 1
    with capsys.disabled():
        print(f"\n{sum(kills.values())} kills with seeds {first} to {seed - 1}; {compared}; all as the reference model")
        for point, count in sorted(kills.items()):
            print(f"  {count:4} {point}")
        print(f"Again: make chaos {SEED}={first} {KILLS}={wanted}", flush=True)


def _round(run: Scenario, chance: random.Random, kills: int) -> Compared:
    """One workload, killed so many times while it is produced, read, judged and told."""
    slices = iter(run.workload.slices(2 * kills))
    while len(run.kills) < kills:
        point = chance.choice((*POINTS, ANYWHERE, ANYWHERE))
        to_the_end = chance.random() < 0.2
        crash_at = None if point == ANYWHERE else f"{point}:{chance.randrange(1, 4)}"
        run.daemon.start(*(["--until-end"] if to_the_end else []), crash_at=crash_at)
        wait_until(run.is_held, "the daemon has opened its store", run.daemon)
        for _ in range(2):
            run.produce(next(slices, []))
            # No condition is waited for: when in its life the daemon dies is what is left to chance.
            Event().wait(chance.uniform(0.1, 2.0))
        if crash_at is not None:
            # A point that it does not come to within a while is left, and it dies wherever it is.
            with contextlib.suppress(TookTooLong):
                run.daemon.wait(chance.uniform(5, 12))
        if run.daemon.running:
            run.kill(ANYWHERE)
        elif run.daemon.was_killed:
            run.kills.append(point)
            run.daemon.assert_no_orphan()
        else:
            assert run.daemon.status == 0, run.daemon.tail()
            assert to_the_end
    wait_until(lambda: not run.daemon.running, "it is dead")
    return run.finish(slices)
