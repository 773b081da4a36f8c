"""How long an alert takes: from a window's end to the message that Slack has accepted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.slack.local import LocalSlack
from detectors.instants import SECOND
from tests.benchmarks import daemons, topics
from tests.benchmarks.producer import Plan, producing
from tests.benchmarks.registry import Figure, Run, Target, benchmark
from tests.benchmarks.timing import percentile

WINDOW = 20 * SECOND
REFERENCE_WINDOWS = 28
ROWS_A_SECOND = 10
"""For each model."""
QUIET_WINDOWS = 1
"""Windows before the first in which some are broken."""
WAVES = 2
"""At each of so many windows' ends another part of the models breaks; all are evaluated at every end."""


@benchmark("latency", "from a window's end to its alert in a local Slack, when every model's window ends at once")
def measure(run: Run) -> Iterator[Figure]:
    with topics.broker(run) as kafka:
        # As many rows a window as the stream will bring, so that nothing but the broken sensor is unusual.
        reference = daemons.write_reference(
            run.folder, REFERENCE_WINDOWS * ROWS_A_SECOND * WINDOW // SECOND, REFERENCE_WINDOWS * WINDOW
        )
        for count in (5, 100) if not run.full else (5, 40, 100):
            yield _measured(run, kafka.bootstrap, reference, count)


def _measured(run: Run, bootstrap: str, reference: Path, count: int) -> Figure:
    topic, names = f"shared-{count}", [f"model-{number:03}" for number in range(count)]
    topics.create(bootstrap, 4, topic)
    with LocalSlack() as slack:
        models = {
            name: daemons.model(
                topic,
                reference,
                window={"size": "20s", "every": "20s", "watermark_delay": "0s"},
                columns={"overrides": {"num_00": {"range": [-1000, 1000]}}, "exclude": ["trace"]},
                channel=f"#{name}",
            )
            | {"predictions": {"topic": topic, "start": "earliest", "where": {"model": name}}}
            for name in names
        }
        folder = run.folder / topic
        folder.mkdir()
        configuration = daemons.write_configuration(
            folder / "latency.yaml", bootstrap, models, slack={"bot_token": slack.token, "api_url": slack.url}
        )
        run.say(f"reading the references of {count} models")
        daemons.child("readers", "prepare", str(configuration))
        run.say(f"{count} models, {WAVES} windows in which some of them break")
        rate = ROWS_A_SECOND * count
        windows = QUIET_WINDOWS + WAVES + 2
        plan = Plan(
            bootstrap,
            [topic],
            partitions=4,
            count=rate * windows * WINDOW // SECOND,
            event_rate=rate,
            rate=rate,
            models=names,
            aligned=WINDOW,
            broken_from=[QUIET_WINDOWS + number % WAVES for number in range(count)],
        )
        with daemons.running(configuration) as daemon, producing(plan) as producer:
            assert producer.stdout is not None
            start = int(producer.stdout.readline())
            daemon.wait_until(lambda: len(_accepted(slack)) >= count, every=0.2)
            accepted = _accepted(slack)
    first = start // WINDOW
    delays = [
        accepted[name] - (first + since + 1) * WINDOW / SECOND
        for name, since in zip(names, plan.broken_from or [], strict=True)
    ]
    return Figure(
        case=f"{count} models: 99th percentile",
        unit="s",
        driftd=percentile(delays, 0.99),
        target=Target(at_most=2),
        details={
            "p50": percentile(delays, 0.5),
            "highest": max(delays),
            "alerts": len(delays),
            "evaluations_at_once": count,
        },
    )


def _accepted(slack: LocalSlack) -> dict[str, float]:
    """When Slack accepted the first message of each model about the broken column, in seconds since the epoch."""
    found: dict[str, float] = {}
    for thread in slack.threads():
        if any("num_00" in text for text in thread.root.texts):
            found.setdefault(thread.channel.removeprefix("#"), float(thread.root.ts))
    return found
