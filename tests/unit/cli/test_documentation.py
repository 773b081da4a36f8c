"""docs/commands.md says every verb, option and exit code, and none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daemon.cli.errors import Exit
from tests.unit.cli.commands import options, walk

PAGE = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
EVERYWHERE = {"--config", "--format"}


def sections() -> dict[str, str]:
    """The page's sections by verb."""
    parts = re.split(r"^## `driftd ([^`]+)`$", PAGE, flags=re.MULTILINE)[1:]
    return {re.sub(r"( \[?[A-Z|]+\]?)+$", "", name): text for name, text in zip(parts[::2], parts[1::2], strict=True)}


def test_every_verb_has_a_section_and_every_section_a_verb() -> None:
    assert set(sections()) == {name for name, _ in walk()}


@pytest.mark.parametrize(("name", "command"), list(walk()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_option_stands_in_its_verbs_table(name: str, command: object) -> None:
    written = set(re.findall(r"^\| `(--[a-z-]+)`", sections()[name], flags=re.MULTILINE))
    assert written == set(options(command)) - EVERYWHERE


@pytest.mark.parametrize(("name", "command"), list(walk()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_verb_and_option_says_what_it_does(name: str, command: object) -> None:
    assert getattr(command, "help", None), name
    for parameter in getattr(command, "params", ()):
        assert getattr(parameter, "help", None), f"{name}: {parameter.name}"


def test_every_exit_code_is_explained() -> None:
    written = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE)}
    assert written == {code.value for code in Exit}
