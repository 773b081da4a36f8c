"""The command line as typer knows it, walked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from daemon.cli.app import build


def walk() -> Iterator[tuple[str, Any]]:
    """Every verb by the words that call it, such as "dead-letters list"."""
    yield from _below(typer.main.get_command(build()), ())


def _below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(words), command
        return
    for name, child in children.items():
        yield from _below(child, (*words, name))


def options(command: Any) -> list[str]:
    """The options of a verb in their long form."""
    names = [name for parameter in command.params for name in getattr(parameter, "opts", ()) if name.startswith("--")]
    return sorted({*names} - {"--help"})
