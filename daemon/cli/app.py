"""The list of verbs, and what becomes of an error that one of them raises."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import typer

from daemon.cli.errors import CommandError, Exit
from daemon.cli.options import Common, ConfigOption, FormatOption
from daemon.cli.output import complain

if TYPE_CHECKING:
    from collections.abc import Callable

VERBS = (
    "run",
    "check",
    "status",
    "results",
    "explain",
    "dead_letters",
    "report",
    "backtest",
    "drill",
    "store",
    "config",
    "demo",
    "version",
)
"""Modules of `daemon.cli`, in the order of the help text; each adds itself by `register(app)`."""


def build() -> typer.Typer:
    """The command with all its verbs."""
    app = typer.Typer(
        name="driftd",
        help="Watches machine-learning models: Kafka prediction logs in, drift verdicts out, Slack told once.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def common(context: typer.Context, config: ConfigOption = None, format: FormatOption = None) -> None:
        context.obj = Common(config, format)

    for verb in VERBS:
        register: Callable[[typer.Typer], None] = import_module(f"daemon.cli.{verb}").register
        register(app)
    return app


def invoke(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code. No error shows a traceback unless DRIFTD_TRACEBACK is set."""
    try:
        outcome = build()(args=list(arguments), prog_name="driftd", standalone_mode=False)
    except typer.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # `driftd results | head`: whoever reads has seen enough. typer makes an exit with 1 of it, and of nothing else
        # in this mode. The descriptor must not be flushed again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.FINE
    except Exception as error:  # noqa: BLE001  # a person gets a sentence, never a traceback
        return _explain(error)
    return outcome if isinstance(outcome, int) else Exit.FINE


def _explain(error: Exception) -> int:
    if os.environ.get("DRIFTD_TRACEBACK"):
        raise error
    if isinstance(error, CommandError):
        complain(f"driftd: {error}")
        return error.code
    # typer's own errors know their exit code and how to show themselves.
    show = getattr(error, "show", None)
    code = getattr(error, "exit_code", None)
    if callable(show) and isinstance(code, int):
        show()
        return code
    complain(
        f"driftd: an error of driftd's own: {type(error).__name__}: {error}. "
        "Run it again with DRIFTD_TRACEBACK=1 to see where it comes from, and report it."
    )
    return Exit.INTERNAL
