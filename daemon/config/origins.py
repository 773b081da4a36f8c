"""Where each effective value comes from: `driftd config show M --origin`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from daemon.config.errors import ConfigurationError, UnknownModel
from daemon.config.load import examine
from daemon.config.tree import KeyPath, Node, dotted, problem_at

BUILT_IN = "built-in"

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


class Origin(NamedTuple):
    """One effective value; `origin` is `file:line` or `built-in`, and secrets are asterisks."""

    path: str
    value: str
    origin: str


def origins(path: Path, model: str | None, *, environ: Mapping[str, str], secrets: bool = True) -> list[Origin]:
    """Every effective value of a model, or with None of everything else, in the order of the documentation.

    Raises ConfigurationError when what is asked for has errors, UnknownModel when there is no such model.
    """
    examined = examine(path, environ=environ, secrets=secrets)
    errors = [problem for problem in examined.problems if problem.severity == "error"]
    if model is None:
        if examined.settings is None or any(problem.model is None for problem in errors):
            raise ConfigurationError(examined.problems)
        values = masked(examined.settings)
        del values["models"]
        return list(_walk(values, examined.installation, ()))
    if model not in examined.trees:
        names = ", ".join(sorted(examined.trees)) or "none"
        message = f"there is no model {model!r}"
        raise UnknownModel([problem_at(examined.installation.at, (), message, f"the models are {names}")])
    if model not in examined.models or any(problem.model is None for problem in errors):
        raise ConfigurationError(problem for problem in examined.problems if problem.model in (None, model))
    return list(_walk(masked(examined.models[model]), examined.trees[model], ()))


def masked(settings: BaseModel) -> dict[str, object]:
    """The settings as they would stand in a file, every secret and every password in an address as asterisks."""
    dump: dict[str, object] = settings.model_dump(mode="json", by_alias=True)
    return {key: _without_credentials(value) for key, value in dump.items()}


def _without_credentials(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_credentials(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_without_credentials(child) for child in value]
    return _CREDENTIALS.sub("**********@", value) if isinstance(value, str) else value


def _walk(value: object, tree: Node, path: KeyPath) -> Iterator[Origin]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _walk(child, tree, (*path, key))
        return
    node, found = tree.find(path)
    origin = str(node.place) if found else BUILT_IN
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    yield Origin(dotted(path), text, origin)
