"""The README says only what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from daemon.cli.app import build

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")])


def test_its_configuration_is_the_minimal_example() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    assert yaml.safe_load(shown) == yaml.safe_load((CHECKOUT / "configs" / "minimal.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_every_verb_that_it_shows_exists() -> None:
    command = get_command(build())
    verbs = set(re.findall(r"`driftd ([a-z-]+)", README))
    assert verbs <= set(getattr(command, "commands", {}))


def test_every_target_that_it_shows_exists() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    shown = set(re.findall(r"make ([a-z-]+)", README))
    assert shown <= set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
