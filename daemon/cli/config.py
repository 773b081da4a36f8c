"""`driftd config`: what the configuration means, and its JSON schema."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.errors import Misconfigured, UsageError
from daemon.cli.opening import known_model, load_settings, problem_lines
from daemon.cli.options import ConfigOption, Format, FormatOption, config_path, output_format
from daemon.cli.output import say, say_json, table


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    group = typer.Typer(help="What the configuration means, with every default filled in.", no_args_is_help=True)
    group.command()(show)
    group.command()(schema)
    app.add_typer(group, name="config")


def show(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="A model; without it everything.")] = None,
    origin: Annotated[bool, typer.Option("--origin", help="Print where each value comes from, as file:line.")] = False,
    config: ConfigOption = None,
    format: FormatOption = None,
) -> None:
    """Print the effective configuration; secrets are asterisks."""
    path, printed = config_path(context, config), output_format(context, format)
    if origin:
        _origins(path, model, printed)
        return
    from daemon.config.origins import masked

    settings = load_settings(path)
    values = masked(settings if model is None else settings.models[known_model(settings, model)])
    if printed is Format.JSON:
        say_json(values)
    else:
        import yaml

        say(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip())


def _origins(path: Path, model: str | None, printed: Format) -> None:
    from daemon.config.errors import ConfigurationError, UnknownModel
    from daemon.config.origins import origins

    try:
        found = origins(path, model, environ=os.environ, secrets=False)
    except UnknownModel as error:
        raise UsageError(str(error)) from error
    except ConfigurationError as error:
        raise Misconfigured(problem_lines(path, error)) from error
    if printed is Format.JSON:
        say_json([entry._asdict() for entry in found])
    else:
        for line in table(["path", "value", "origin"], found):
            say(line)


def schema() -> None:
    """Print the JSON schema of a configuration file, for editors."""
    from daemon.config.schema import json_schema

    say(json.dumps(json_schema(), indent=2, ensure_ascii=False))
