"""`driftd demo`: see the main job done, on real flights and a real Kafka."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.errors import CommandError, Unreachable


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(demo)


def demo(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where configuration, store and log are left; emptied first.")
    ] = Path(".demo"),
) -> None:
    """Replay a year of flights through a real Kafka and the real daemon, with two announced faults.

    KAFKA_BOOTSTRAP_SERVERS uses that Kafka instead of a local one; SLACK_BOT_TOKEN and SLACK_CHANNEL post to Slack.
    """
    try:
        from rich.console import Console

        from deploy.demo.demonstration import DemoFailed, Demonstration
        from deploy.demo.flights import FlightsMissing
        from deploy.kafka.local import LocalKafkaError
    except ImportError as error:
        raise CommandError(
            f"the demonstration needs a checkout and its tools ({error}): run `make demo` there"
        ) from error
    demonstration = Demonstration(
        folder,
        Console(width=None if sys.stdout.isatty() else 110),
        kafka=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"),
        slack_token=os.environ.get("SLACK_BOT_TOKEN"),
        channel=os.environ.get("SLACK_CHANNEL", "#ml-delays"),
    )
    try:
        demonstration.run()
    except (DemoFailed, FlightsMissing, LocalKafkaError) as error:
        raise Unreachable(str(error)) from error
