"""`driftd check`: everything that is wrong with a configuration, in one run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.errors import CommandError, Exit
from daemon.cli.opening import ask_kafka
from daemon.cli.options import ConfigOption, Format, FormatOption, config_path, output_format
from daemon.cli.output import complain, say, say_json

if TYPE_CHECKING:
    from daemon.config.errors import Problem
    from daemon.config.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(check)


def check(
    context: typer.Context,
    live: Annotated[
        bool, typer.Option("--live", help="Ask Kafka for the topics, Slack for the bot, and read every reference.")
    ] = False,
    no_secrets: Annotated[
        bool, typer.Option("--no-secrets", help="Do not read secrets: for a check where they are not at hand.")
    ] = False,
    config: ConfigOption = None,
    format: FormatOption = None,
) -> None:
    """Say everything that is wrong with the configuration; exit code 78 if anything is."""
    from daemon.config.errors import ConfigurationError
    from daemon.config.load import examine

    path, printed = config_path(context, config), output_format(context, format)
    try:
        examined = examine(path, environ=os.environ, secrets=not no_secrets)
    except ConfigurationError as error:  # the main file cannot be read, or holds no YAML at all
        _say_problems(error.problems, printed)
        raise typer.Exit(Exit.CONFIGURATION) from error
    errors = [problem for problem in examined.problems if problem.severity == "error"]
    _say_problems(examined.problems, printed)
    if errors or examined.settings is None:
        raise typer.Exit(Exit.CONFIGURATION)
    settings = examined.settings.model_copy(update={"models": examined.models})
    if live:
        _check_live(settings, with_slack=not no_secrets)
    if printed is Format.TEXT:
        warned = f", {len(examined.problems)} warnings" if examined.problems else ""
        say(f"{path} is fine: {_counted(settings)}{warned}.")


def _say_problems(problems: Sequence[Problem], printed: Format) -> None:
    if printed is Format.JSON:
        say_json({"problems": [_json(problem) for problem in problems]})
    else:
        for problem in problems:
            say(str(problem))


def _check_live(settings: Settings, *, with_slack: bool) -> None:
    """Complains about each thing that is not there; the exit code is that of the gravest."""
    code = Exit.FINE
    for question in (_topics, _references, _slack):
        if question is _slack and not with_slack:
            continue
        try:
            for sentence, gravity in question(settings):
                complain(f"driftd: {sentence}")
                code = max(code, gravity)
        except CommandError as error:
            complain(f"driftd: {error}")
            code = max(code, error.code)
    if code is not Exit.FINE:
        raise typer.Exit(code)


def _topics(settings: Settings) -> Iterator[tuple[str, Exit]]:
    cluster = ask_kafka(settings)
    for name, model in settings.models.items():
        topics = [*model.predictions.topic, *(model.labels.topic if model.labels else ())]
        for topic in topics:
            if topic in cluster.forbidden:
                sentence = f"{name}: Kafka forbids reading the topic {topic}; ask for the rights Read and Describe"
                yield sentence, Exit.UNREACHABLE
            elif topic not in cluster.topics:
                # Not an error of the configuration: a daemon waits for a topic that is made later.
                yield f"{name}: the topic {topic} does not exist yet", Exit.UNREACHABLE


def _references(settings: Settings) -> Iterator[tuple[str, Exit]]:
    from daemon.schedule.references import local_path, read_request
    from daemon.schedule.tasks import READ_REFERENCE
    from daemon.schedule.workers import TaskFailed, WorkerError, WorkerPool

    with WorkerPool(1) as pool:
        for name, model in settings.models.items():
            if model.reference.uri is None:
                continue
            path: Path = local_path(model.reference.uri)
            try:
                pool.submit(READ_REFERENCE, read_request(model, path), timeout=600.0).result()
            except WorkerError as error:
                reason = error.message if isinstance(error, TaskFailed) else str(error)
                # What is in the file can only be mended in the file, or in the names that the configuration gives.
                is_content = isinstance(error, TaskFailed) and error.kind != "ReferenceRejected"
                code = Exit.CONFIGURATION if is_content else Exit.UNREACHABLE
                yield f"{name}: the reference cannot be used: {reason}", code


def _slack(settings: Settings) -> Iterator[tuple[str, Exit]]:
    if settings.slack is None:
        return
    from slack_sdk.errors import SlackApiError

    from daemon.deliver.receivers.slack import client

    try:
        client(settings).auth_test()
    except SlackApiError as error:
        yield f"Slack refuses the bot's token (slack.bot_token): {error.response.get('error')}", Exit.UNREACHABLE
    except (OSError, ValueError) as error:
        yield f"Slack does not answer at {settings.slack.api_url}: {error}", Exit.UNREACHABLE


def _json(problem: object) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(problem)  # type: ignore[call-overload,no-any-return]


def _counted(settings: Settings) -> str:
    return "one model" if len(settings.models) == 1 else f"{len(settings.models)} models"
