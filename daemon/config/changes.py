"""Changes to a configuration that are given beside its files: `models.flight-delay.window.size=7d`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from daemon.config.document import read_document
from daemon.config.errors import Problem
from daemon.config.tree import KeyPath, Node, Place, located, problem_at

_EXAMPLE = "write PATH=VALUE, such as models.NAME.window.size=7d"


def with_changes(root: Node, changes: Sequence[str]) -> tuple[Node, list[Problem]]:
    """The tree with each `PATH=VALUE` laid upon it, in order, and what is wrong with these as such.

    A path is dotted, a value is YAML. Whether there is such a key, and what it takes, is for whoever reads the tree: a
    mistake in a change has the change itself for its place.
    """
    problems: list[Problem] = []
    for change in changes:
        place = Place(change, 0, 0)
        path, is_assigned, text = (part.strip() for part in change.partition("="))
        steps = _steps(root, path)
        if not is_assigned or not all(steps):
            problems.append(problem_at(place, (), "is no change", _EXAMPLE))
            continue
        document, found = read_document(change, f"value: {text}".encode())
        value = None if document is None else document.find(("value",))[0]
        if value is None or found:
            # Where in the change it is can be seen: it is one line, and somebody has just written it.
            problems += [replace(problem, line=0, column=0, path=path) for problem in found]
            continue
        strange = _strange_model(root, steps)
        if strange:
            problems.append(problem_at(place, steps, *strange))
            continue
        root = _laid(root, steps, _placed(located(value, steps), place), place)
    return root, problems


def _steps(root: Node, path: str) -> KeyPath:
    """The keys of a dotted path; a key that is there and has dots of its own, as models may, is one."""
    parts = path.split(".")
    steps: list[str] = []
    node: Node | None = root
    while parts:
        below = node.value if node is not None and isinstance(node.value, dict) else {}
        length = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in below), 1)
        step = ".".join(parts[:length])
        steps.append(step)
        node, parts = below.get(step), parts[length:]
    return (*steps,)


def _strange_model(root: Node, steps: KeyPath) -> tuple[str, str] | None:
    """What is wrong with the model that a path names, and a hint; a change makes no new model."""
    models = root.find(("models",))[0].value
    if steps[0] != "models" or not isinstance(models, dict):
        return None
    if len(steps) > 1 and steps[1] in models:
        return None
    if len(steps) == 1:
        return "models cannot be changed as a whole", _EXAMPLE
    near = get_close_matches(str(steps[1]), models, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the models are {', '.join(models)}"
    return f"there is no model {steps[1]!r}", hint


def _placed(node: Node, place: Place) -> Node:
    """The same values, all of them at one place."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _placed(child, place) for key, child in value.items()}
    elif isinstance(value, list):
        value = [_placed(child, place) for child in value]
    return replace(node, value=value, at=place, key_at=place)


def _laid(node: Node, steps: KeyPath, value: Node, place: Place) -> Node:
    """The tree with `value` at a path below `node`; what is on the way keeps its place."""
    if not steps:
        return value
    key = str(steps[0])
    children = node.value if isinstance(node.value, dict) else {}
    below = children.get(key) or Node({}, place, place, (*node.path, key))
    return replace(node, value={**children, key: _laid(below, steps[1:], value, place)})
