"""A configuration as a tree whose every node knows its file, line, column and key path."""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.config.errors import Problem

KeyPath = tuple[str | int, ...]
Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a list or a mapping, and where it stands.

    `text` is a scalar as it was written; `quoted` scalars are text whatever they look like. The value of a `broken`
    node cannot be used: its mistake has been reported.
    """

    value: Scalar | list[Node] | dict[str, Node]
    at: Place
    key_at: Place | None = None
    path: KeyPath = ()
    text: str = ""
    quoted: bool = False
    broken: bool = False

    @property
    def place(self) -> Place:
        """Where an error about this value is best shown."""
        return self.key_at if self.key_at is not None and isinstance(self.value, dict | list) else self.at

    def find(self, path: KeyPath) -> tuple[Node, bool]:
        """The node at `path` and True, or the deepest one on the way to it and False."""
        node = self
        for step in path:
            below: Node | None = None
            if isinstance(node.value, dict):
                below = node.value.get(str(step))
            elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                below = node.value[step]
            if below is None:
                return node, False
            node = below
        return node, True

    def problem(self, message: str, hint: str = "", *, path: KeyPath | None = None) -> Problem:
        """A mistake in this value."""
        return problem_at(self.place, self.path if path is None else path, message, hint)

    def key_problem(self, message: str, hint: str = "", *, path: KeyPath | None = None) -> Problem:
        """A mistake in the key that this value stands under."""
        return problem_at(self.key_at or self.at, self.path if path is None else path, message, hint)


def problem_at(place: Place, path: KeyPath, message: str, hint: str = "") -> Problem:
    """A mistake at a place; below `models` it concerns one model."""
    model = str(path[1]) if path[:1] == ("models",) and len(path) > 1 else None
    return Problem(place.file, place.line, place.column, dotted(path), message, hint, model=model)


def dotted(path: KeyPath) -> str:
    """A key path for people: `receivers.ops.url`, `topic[1]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def plain(node: Node) -> Plain:
    """The tree's values without places."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def merge(under: Node, over: Node) -> Node:
    """`over` laid upon `under`: mappings are merged key by key, anything else is replaced."""
    if not (isinstance(under.value, dict) and isinstance(over.value, dict)):
        return over
    merged = dict(under.value)
    for key, child in over.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    return replace(over, value=merged)


def located(node: Node, path: KeyPath) -> Node:
    """The same tree with its key paths filled in."""
    value = node.value
    if isinstance(value, dict):
        value = {key: located(child, (*path, key)) for key, child in value.items()}
    elif isinstance(value, list):
        value = [located(child, (*path, index)) for index, child in enumerate(value)]
    return replace(node, value=value, path=path)
