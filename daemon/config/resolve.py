"""The tree that is meant by what is written: variables filled in, secrets read, unknown keys reported and left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from daemon.config.document import resolve
from daemon.config.errors import Problem
from daemon.config.shape import Choice, Each, Group, Leaf, Shape
from daemon.config.tree import Node
from daemon.config.unavailable import refused_key, refused_value
from daemon.config.variables import VariableError, has_variables, substitute

LARGEST_SECRET = 1 << 16

Secrets = bool | frozenset[str]
"""Whether secrets are read; or below which keys of the file's top level they are."""


class Resolver:
    """Walks a tree along its shape; `problems` grows with every mistake, and what is mistaken comes out broken.

    Secrets that are not to be read stay as they are written, and no file of theirs is opened.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path, *, secrets: Secrets) -> None:
        self.environ = environ
        self.folder = folder
        self.secrets = secrets
        self.problems: list[Problem] = []

    def resolve(self, node: Node, shape: Shape) -> Node:
        """The node as it is meant."""
        if node.broken:
            return node
        match shape:
            case Leaf():
                return self._leaf(node, shape)
            case Each():
                return self._each(node, shape)
            case Group():
                return self._group(node, shape)
            case Choice():
                return self._choice(node, shape)

    def _each(self, node: Node, each: Each) -> Node:
        if node.value is None:
            return replace(node, value={})
        if not isinstance(node.value, dict):
            return node
        return replace(node, value={key: self.resolve(child, each.of) for key, child in node.value.items()})

    def _choice(self, node: Node, choice: Choice) -> Node:
        tag = node.value.get(choice.by) if isinstance(node.value, dict) else None
        if tag is None:
            return node
        tag = self._leaf(tag, Leaf())
        if tag.broken:
            return replace(node, broken=True)
        group = choice.groups.get(str(tag.value))
        return node if group is None else self._group(node, group)

    def _group(self, node: Node, group: Group) -> Node:
        if node.value is None and not group.nullable:
            return replace(node, value={})
        if not isinstance(node.value, dict):
            return node
        meant: dict[str, Node] = {}
        absent: list[str] = []
        for key, child in node.value.items():
            secret = group.secret_of(key)
            refusal = refused_key(child.path)
            if refusal is not None:
                self.problems.append(child.key_problem(refusal))
            elif key in group.fields:
                meant[key] = self.resolve(child, group.fields[key])
            elif secret is None:
                absent += self._unknown(key, child, group)
            elif secret in node.value:
                self.problems.append(child.key_problem(f"{secret} and {key} are both given", "keep one of them"))
            else:
                meant[secret] = self._secret_file(child)
        for key in absent:
            # One mistake, one error: the key that was meant is not reported as missing as well.
            meant.setdefault(key, Node(None, node.at, path=(*node.path, key), broken=True))
        return replace(node, value=meant)

    def _unknown(self, key: str, child: Node, group: Group) -> list[str]:
        nearest = get_close_matches(key, group.keys, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"the keys here are {', '.join(sorted(group.keys))}"
        self.problems.append(child.key_problem(f"unknown key {key!r}", hint))
        return [group.secret_of(key) or key for key in nearest]

    def _leaf(self, node: Node, leaf: Leaf) -> Node:
        if isinstance(node.value, list):
            children = [self._leaf(child, Leaf(is_deep=leaf.is_deep)) for child in node.value]
            return replace(node, value=children, broken=any(child.broken for child in children))
        if leaf.is_deep and isinstance(node.value, dict):
            below = {key: self._leaf(child, leaf) for key, child in node.value.items()}
            return replace(node, value=below, broken=any(child.broken for child in below.values()))
        if node.broken or node.value is None or isinstance(node.value, dict):
            return node
        text = node.text
        if not (leaf.is_secret and not self._reads(node)) and has_variables(text):
            try:
                text = substitute(text, self.environ)
            except VariableError as error:
                self.problems.append(node.problem(str(error), error.hint))
                return replace(node, broken=True)
        refusal = refused_value(node.path, text)
        if refusal is not None:
            self.problems.append(node.problem(refusal))
            return replace(node, broken=True)
        if leaf.is_location and text and "://" not in text:
            text = str(self.folder / text)
        return replace(node, value=text if node.quoted or leaf.is_text or leaf.is_location else resolve(text))

    def _reads(self, secret: Node) -> bool:
        return self.secrets if isinstance(self.secrets, bool) else str(secret.path[0]) in self.secrets

    def _secret_file(self, node: Node) -> Node:
        """The contents of the file that `node` names, without line ends behind them."""
        if not self._reads(node):
            return replace(node, value=f"<{node.text}>")
        node = self._leaf(node, Leaf(is_location=True))
        if node.broken:
            return node
        message = "must be a file's path"
        if isinstance(node.value, str):
            try:
                with Path(node.value).open("rb") as file:
                    data = file.read(LARGEST_SECRET + 1)
                secret = data.decode().rstrip("\r\n")
                if secret and len(data) <= LARGEST_SECRET:
                    return replace(node, value=secret)
                message = f"the secret's file {node.value} is {'too large' if secret else 'empty'}"
            except OSError as error:
                message = f"the secret's file {node.value} cannot be read: {error.strerror or error}"
            except ValueError:
                message = f"the secret's file {node.value} is not UTF-8"
        self.problems.append(node.problem(message))
        return replace(node, broken=True)
