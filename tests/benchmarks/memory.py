"""Whether the daemon's memory stays as it is: resident memory of its main process after few rows and after many."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from detectors.instants import SECOND, rfc3339
from tests.benchmarks import daemons, data, topics
from tests.benchmarks.producer import Plan, producing
from tests.benchmarks.registry import Figure, Run, Target, benchmark

FEW, MANY = 1_000_000, 5_000_000
LAST = 500_000
"""The memory after so many rows is the highest while the last half a million of them are counted."""
ROWS_A_WINDOW = 250_000
WINDOW = "1h"
LABELLED = 20
"""One row of so many gets its label, at once."""
TOPIC, LABELS = "predictions", "labels"


@benchmark("memory", "resident memory of the daemon's main process after 1 million and after 5 million rows")
def measure(run: Run) -> Iterator[Figure]:
    with topics.broker(run) as kafka:
        topics.create(kafka.bootstrap, 4, TOPIC, LABELS)
        reference = daemons.write_reference(run.folder, 50_000)
        window = {"size": WINDOW, "every": WINDOW, "watermark_delay": "1m"}
        configuration = daemons.write_configuration(
            run.folder / "memory.yaml",
            kafka.bootstrap,
            {"model": daemons.model(TOPIC, reference, labels=LABELS, window=window, segments={"by": ["cat_5"]})},
            clock="event",
            http={"listen": "127.0.0.1:0"},
        )
        daemons.child("readers", "prepare", str(configuration))
        run.say(f"producing {MANY:,} rows in {MANY // ROWS_A_WINDOW} windows")
        # All of them before the first is read: the buffer then fills to its limit before each checkpoint, which is the
        # most that it ever holds, however fast the machine is.
        plan = Plan(
            kafka.bootstrap, [TOPIC], partitions=4, count=MANY, event_rate=ROWS_A_WINDOW / 3600, start=data.START
        )
        with producing(plan) as producer:
            topics.fill(kafka.bootstrap, LABELS, 4, _labels(plan.event_rate))
            if producer.wait():
                raise RuntimeError("the rows could not be produced")
        run.say("reading them")
        taken: list[tuple[int, int]] = []
        with daemons.running(configuration) as daemon:

            def look() -> bool:
                taken.append((daemon.counted(), daemon.cost().rss))
                return taken[-1][0] >= MANY

            daemon.wait_until(look, every=0.25)
            judged = daemon.windows()
    counted, rss = (np.array(column) for column in zip(*taken, strict=True))
    few, many = (int(rss[(counted > rows - LAST) & (counted <= rows)].max()) for rows in (FEW, MANY))
    yield Figure(
        case=f"growth from {FEW:,} to {MANY:,} rows",
        unit="MiB",
        driftd=many / 2**20,
        peer=f"driftd at {FEW:,} rows",
        peer_value=few / 2**20,
        ratio=many / few,
        target=Target(at_most=1.05),
        details={"windows": MANY // ROWS_A_WINDOW, "judged": judged, "samples": len(rss)},
    )
    yield Figure(
        case=f"highest in {MANY:,} rows",
        unit="MiB",
        driftd=float(rss.max()) / 2**20,
        target=Target(at_most=300),
        details={"lowest_since_the_first_checkpoint": float(rss[counted > 0].min()) / 2**20},
    )


def _labels(event_rate: float) -> Iterator[tuple[int, bytes]]:
    """The label messages, each with its event time in microseconds."""
    for number in range(0, MANY, LABELLED):
        time = data.START + int(number * SECOND / event_rate)
        body = {"id": data.prediction_id(number), "ts": rfc3339(time), "label": float(number % 10)}
        yield time, msgspec.json.encode(body)
