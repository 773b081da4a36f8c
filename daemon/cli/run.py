"""`driftd run`: the daemon."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.errors import Misconfigured, Unreachable
from daemon.cli.opening import ask_kafka, open_store, problem_lines
from daemon.cli.options import ConfigOption, config_path

if TYPE_CHECKING:
    from daemon.cli.process import Configured
    from daemon.config.load import Loaded
    from daemon.config.settings import Settings


class Level(StrEnum):
    """From which severity on an event is a line of the log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(run)


def run(
    context: typer.Context,
    until_end: Annotated[
        bool,
        typer.Option("--until-end", help="Read what is in Kafka now, evaluate all of it, deliver, and end."),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=64, help="Worker processes.  [default: cores - 1, at most 4]"),
    ] = None,
    log_level: Annotated[Level, typer.Option("--log-level", help="What is logged to stderr.")] = Level.INFO,
    config: ConfigOption = None,
) -> None:
    """Read predictions and labels, judge every window, and tell people; until SIGTERM, or to the end of the data."""
    from daemon.cli import allocator, logs
    from daemon.cli.process import Process
    from daemon.cli.signals import Signals
    from daemon.config.errors import ConfigurationError
    from daemon.config.load import load_leniently
    from daemon.web.server import PortTaken

    allocator.restrain(os.environ)
    logs.start(log_level)
    path = config_path(context, config)
    try:
        loaded = load_leniently(path, environ=os.environ)
    except ConfigurationError as error:
        raise Misconfigured(problem_lines(path, error)) from error
    for problem in loaded.problems:
        typer.echo(f"driftd: {problem}", err=True)
    errors = _sentences(loaded)
    if errors and until_end:
        # A daemon goes on with the models that are sound; a run that ends by itself must not leave one out unnoticed.
        raise Misconfigured("a run --until-end needs every model; correct the mistakes above")
    settings = loaded.settings
    if until_end:
        # A daemon waits for its brokers; a run that is to end by itself would never do so.
        ask_kafka(settings)
    signals = Signals()
    signals.install(with_reload=not until_end)

    def process_of(settings: Settings, problems: tuple[str, ...]) -> Process:
        return Process(
            settings,
            store,
            until_end=until_end,
            workers=workers or default_workers(),
            signals=signals,
            read_again=lambda running: _read_again(path, running),
            problems=problems,
        )

    with open_store(settings.store.path, writer=True, holder=f"driftd run --config {Path(path).absolute()}") as store:
        try:
            process = process_of(settings, errors)
            code = process.run()
            while process.successor is not None and not signals.stopping:
                after = process.successor
                assert after.settings is not None
                try:
                    process = process_of(after.settings, after.problems)
                    settings = after.settings
                except PortTaken as error:
                    typer.echo(f"driftd: {error} Until then the configuration of before goes on.", err=True)
                    process = process_of(settings, (*after.problems, str(error)))
                code = process.run()
        except PortTaken as error:
            raise Unreachable(str(error)) from error
        raise typer.Exit(code)


def _read_again(path: Path, running: Settings) -> Configured:
    """What to run by from now on, where something runs already."""
    from daemon.cli.process import Configured
    from daemon.config.errors import ConfigurationError
    from daemon.config.load import load_again

    try:
        loaded = load_again(path, environ=os.environ, running=running)
    except ConfigurationError as error:
        return Configured(None, tuple(str(problem) for problem in error.problems if problem.severity == "error"))
    problems = _sentences(loaded)
    if loaded.settings.store.path != running.store.path:
        sentence = f"store.path cannot change from {running.store.path} while driftd runs: stop it first"
        return Configured(None, (*problems, sentence))
    return Configured(loaded.settings, problems)


def _sentences(loaded: Loaded) -> tuple[str, ...]:
    """What is wrong with models, each mistake and then what becomes of the model."""
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    names = dict.fromkeys(str(problem.model) for problem in errors)
    fates = [
        f"{name} goes on with its settings of before" if name in loaded.settings.models else f"{name} is left out"
        for name in names
    ]
    return (*map(str, errors), *fates)


def default_workers() -> int:
    """One core is left to reading; each worker takes about 250 MB, so four at most unless more are asked for."""
    return max(1, min(4, len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else 1))
