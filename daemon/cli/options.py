"""The options that every verb knows, before its name or after it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("driftd.yaml")


class Format(StrEnum):
    """How a verb prints what it found."""

    TEXT = "text"
    JSON = "json"


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="DRIFTD_CONFIG", metavar="PATH", help="The configuration file.  [default: driftd.yaml]"
    ),
]
FormatOption = Annotated[
    Format | None, typer.Option("--format", "-f", help="How to print what was found.  [default: text]")
]


@dataclass(slots=True)
class Common:
    """What was given before the verb."""

    config: Path | None = None
    format: Format | None = None


def config_path(context: typer.Context, given: Path | None) -> Path:
    """The configuration file to read: the verb's own option, else the one before it, else the default."""
    return given or _common(context).config or DEFAULT_CONFIG


def output_format(context: typer.Context, given: Format | None) -> Format:
    """The format to print in: the verb's own option, else the one before it, else text."""
    return given or _common(context).format or Format.TEXT


def _common(context: typer.Context) -> Common:
    found = context.find_root().obj
    return found if isinstance(found, Common) else Common()
