"""Reads a configuration: files, then the tree that is meant, then settings, then what no single value shows.

Order of precedence: built-in, then `defaults`, then the model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.config.changes import with_changes
from daemon.config.checks import check_installation, check_model, check_shared_topics, placed
from daemon.config.errors import ConfigurationError, Problem, ordered
from daemon.config.resolve import Resolver, Secrets
from daemon.config.settings import Model, Settings
from daemon.config.shape import file_shape, group_of
from daemon.config.sources import read_sources
from daemon.config.suite_checks import check_suite
from daemon.config.tree import KeyPath, Node, merge
from daemon.config.validation import validate

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings that can be used, and what is wrong besides: warnings, and the errors of models that were left out."""

    settings: Settings
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Examined:
    """Everything that is known about a configuration, however bad it is.

    `settings` has no models in it; `models` are those without errors. The trees hold the values with their places:
    `installation` without the models, and each of `trees` with `defaults` laid under what the model says.
    """

    settings: Settings | None
    models: Mapping[str, Model]
    problems: tuple[Problem, ...]
    installation: Node
    trees: Mapping[str, Node]


def load_leniently(
    path: Path, *, environ: Mapping[str, str], secrets: Secrets = True, changes: Sequence[str] = ()
) -> Loaded:
    """The settings in a file or folder; a bad model is left out, and its problems are returned with the warnings.

    With `secrets=False` secrets are not read: for a verb that does not need them, where they may not be at hand; with
    keys of the file's top level only the secrets below those are. `changes` are laid upon the files, PATH=VALUE each.
    Raises ConfigurationError with everything that is wrong when something outside one model is, or no model is left.
    """
    examined = examine(path, environ=environ, secrets=secrets, changes=changes)
    is_bad = any(problem.severity == "error" and problem.model is None for problem in examined.problems)
    if examined.settings is None or is_bad or not examined.models:
        raise ConfigurationError(examined.problems)
    return Loaded(examined.settings.model_copy(update={"models": examined.models}), ordered(examined.problems))


def load_again(path: Path, *, environ: Mapping[str, str], running: Settings) -> Loaded:
    """Like `load_leniently` where there is something that runs already: a bad model keeps its settings from there.

    So long as they go with the rest of what is new; else it is left out.
    """
    examined = examine(path, environ=environ)
    is_bad = any(problem.severity == "error" and problem.model is None for problem in examined.problems)
    if examined.settings is None or is_bad:
        raise ConfigurationError(examined.problems)
    settings, models = examined.settings, {}
    for name in examined.trees:
        model, before = examined.models.get(name), running.models.get(name)
        if model is None and before is not None:
            complaints = check_model(before, settings, settings.receivers)
            model = before if all(complaint.is_warning for complaint in complaints) else None
        if model is not None:
            models[name] = model
    if not models:
        raise ConfigurationError(examined.problems)
    return Loaded(settings.model_copy(update={"models": models}), ordered(examined.problems))


def examine(
    path: Path, *, environ: Mapping[str, str], secrets: Secrets = True, changes: Sequence[str] = ()
) -> Examined:
    """Read everything and find everything that is wrong; raises only when the main file cannot be read."""
    sources = read_sources(path)
    resolver = Resolver(environ, sources.folder, secrets=secrets)
    written, mistaken = with_changes(sources.root, changes)
    root = resolver.resolve(written, file_shape())
    entries = dict(root.value) if isinstance(root.value, dict) else {}
    models, defaults = entries.pop("models", None), entries.pop("defaults", None)
    installation = replace(root, value=entries)
    problems = [*sources.problems, *mistaken, *resolver.problems]
    if defaults is not None:
        problems += validate(Model, defaults, group_of(Model), ("defaults",), complete=False).problems
    trees = _trees(root, models, defaults, problems)
    settings = _installation(installation, sources.folder, problems, secrets=secrets is True)
    candidates = _models(trees, settings, _names(installation, "receivers"), problems)
    bad = {problem.model for problem in problems if problem.severity == "error"}
    good = {name: model for name, model in candidates.items() if name not in bad}
    return Examined(settings, good, ordered(problems), installation, trees)


def _trees(root: Node, models: Node | None, defaults: Node | None, problems: list[Problem]) -> dict[str, Node]:
    """Each model's tree with the defaults laid under it."""
    if models is None or models.value == {}:
        problems.append((models or root).key_problem("names no model", path=("models",)))
        return {}
    if not isinstance(models.value, dict):
        problems.append(models.problem("must be a mapping of names to models"))
        return {}
    trees: dict[str, Node] = {}
    for name, node in models.value.items():
        if not _NAME.fullmatch(name):
            hint = "letters, digits, dots, dashes and underscores, at most 100"
            problems.append(node.key_problem(f"{name!r} cannot be a model's name", hint))
        trees[name] = node if defaults is None or node.broken else merge(defaults, node)
    return trees


def _installation(tree: Node, folder: Path, problems: list[Problem], *, secrets: bool) -> Settings | None:
    """Everything but the models; with problems, as far as it can be checked."""
    without_models = replace(tree, value={**_children(tree), "models": Node({}, tree.at)})
    found = validate(Settings, without_models, group_of(Settings), (), secrets=secrets)
    problems += found.problems
    settings = found.settings
    if settings is None:
        return None
    problems += placed(check_installation(settings), tree, (), found.untrusted)
    return settings.model_copy(
        update={"store": settings.store.model_copy(update={"path": folder / settings.store.path})}
    )


def _models(
    trees: Mapping[str, Node], settings: Settings | None, receivers: Collection[str], problems: list[Problem]
) -> dict[str, Model]:
    """The models as far as they can be checked, by name."""
    models: dict[str, Model] = {}
    untrusted: dict[str, frozenset[KeyPath]] = {}
    for name, tree in trees.items():
        if tree.broken:
            continue
        found = validate(Model, tree, group_of(Model), ("models", name))
        problems += found.problems
        if found.settings is not None:
            models[name], untrusted[name] = found.settings, found.untrusted
            complaints = [*check_model(found.settings, settings, receivers), *check_suite(found.settings)]
            problems += placed(complaints, tree, ("models", name), found.untrusted)
    for name, complaint in check_shared_topics(models):
        problems += placed([complaint], trees[name], ("models", name), untrusted[name])
    return models


def _children(node: Node) -> dict[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


def _names(tree: Node, key: str) -> list[str]:
    """The names below a key, also those whose values are mistaken."""
    children = _children(tree)
    return list(_children(children[key])) if key in children else []
