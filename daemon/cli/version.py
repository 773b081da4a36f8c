"""`driftd version`: what is installed."""

from __future__ import annotations

import platform

import typer

from daemon import __version__
from daemon.cli.options import Format, FormatOption, output_format
from daemon.cli.output import say, say_json


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(version)


def version(context: typer.Context, format: FormatOption = None) -> None:
    """Print the versions of driftd and of Python."""
    if output_format(context, format) is Format.JSON:
        say_json({"driftd": __version__, "python": platform.python_version()})
    else:
        say(f"driftd {__version__} (Python {platform.python_version()})")
