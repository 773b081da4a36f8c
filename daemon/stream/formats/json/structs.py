"""Structs made from a plan: what msgspec decodes messages into, and how columns are taken out of them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from daemon.config.forms import nameable
from daemon.stream.mapping import ACCEPTED, REQUIRED, Fetch, Kind, Path, Plan

_LEARN_KEYS = 200
"""A model whose messages hold more keys that nobody asked for has them skipped."""

_Scalar = str | int | float | bool | None
_astuple = msgspec.structs.astuple


@dataclass(slots=True)
class _Leaf:
    """One value of a message, and everything that it is fetched for."""

    key: str
    fetches: list[Fetch]
    distrusted: bool = False
    usual: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        return any(fetch.kind in REQUIRED for fetch in self.fetches)

    @property
    def type(self) -> Any:
        """The type that every use of the value accepts."""
        kinds = {fetch.kind for fetch in self.fetches}
        if kinds == {Kind.SHARES}:
            # Known to hold nothing deeper. What is no object of numbers is looked at by itself, as it is.
            return object if self.distrusted else dict[str, float] | None
        if kinds == {Kind.ITEMS}:
            return object if self.distrusted else list[_Scalar] | None
        accepted = set[type](ACCEPTED[Kind.SCALAR])
        for kind in kinds:
            accepted &= set(ACCEPTED.get(kind, accepted))
        if kinds == {Kind.ANYTHING} or (self.distrusted and not self.required):
            return object
        if Kind.NUMBER in kinds and float in accepted:
            accepted.discard(int)  # msgspec reads an integer as a float where only a float is asked for
        union: Any = None if not self.required else _Nothing
        if self.usual and accepted == set(ACCEPTED[Kind.SCALAR]) and not self.required:
            # The very strings, instead of new ones for each message: no memory to take, and their hash is known.
            accepted.discard(str)
            union = Literal[self.usual] | None
        for member in sorted(accepted, key=lambda member: member.__name__):
            union = member if union is _Nothing else union | member if union is not None else member | None
        return union


class _Nothing:
    pass


@dataclass(slots=True)
class _Node:
    """One object of a message: the values to fetch, the objects inside it, and keys that nobody asked for."""

    path: Path
    leaves: dict[str, _Leaf] = field(default_factory=dict)
    children: dict[str, _Node] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    struct: type[msgspec.Struct] = msgspec.Struct

    def walk(self) -> Iterator[_Node]:
        yield self
        for child in self.children.values():
            yield from child.walk()

    @property
    def required(self) -> bool:
        return any(leaf.required for node in self.walk() for leaf in node.leaves.values())

    def compile(self, *, forbid: bool) -> type[msgspec.Struct]:
        fields: list[tuple[str, Any, Any]] = []
        for leaf in self.leaves.values():
            fields.append((f"f{len(fields)}", leaf.type, msgspec.NODEFAULT if leaf.required else None))
        for child in self.children.values():
            inner = child.compile(forbid=forbid)
            # One empty object stands for every absent one: no look for None on the way to the columns.
            default = msgspec.NODEFAULT if child.required else msgspec.field(default_factory=_always(inner()))
            fields.append((f"f{len(fields)}", inner, default))
        keys = [*self.leaves, *self.children]
        if forbid:
            keys += self.extras
            fields += [(f"f{i}", kind, None) for i, kind in enumerate(self.extras.values(), len(fields))]
        names = {f"f{i}": key for i, key in enumerate(keys)}
        self.struct = msgspec.defstruct(
            "Message", fields, rename=names, kw_only=True, frozen=True, gc=False, forbid_unknown_fields=forbid
        )
        return self.struct


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


class Tree:
    """The objects of a plan's messages.

    `lenient`: keys that nobody asked for are skipped instead of known. Known keys cost their decoding but bound the
    depth of a message by themselves; skipped ones can hide any depth, so that brackets have to be counted.
    """

    def __init__(self, plan: Plan) -> None:
        self._root = _Node(())
        self._learnt = 0
        self._known_features = plan.known
        self.attribute: dict[str, str] = {}
        self.kind = {fetch.name: fetch.kind for fetch in plan.fetches}
        self.distrusted: set[str] = set()
        for fetch in plan.fetches:
            node = self._root
            for key in fetch.path[:-1]:
                node = node.children.setdefault(key, _Node((*node.path, key)))
            leaf = node.leaves.setdefault(fetch.path[-1], _Leaf(fetch.path[-1], []))
            leaf.fetches.append(fetch)
            leaf.usual = fetch.usual if len(leaf.fetches) == 1 else ()
        self.lenient = any(kind is Kind.ANYTHING for kind in self.kind.values())
        for node in self._root.walk():
            for place, leaf in enumerate(node.leaves.values()):
                for fetch in leaf.fetches:
                    self.attribute[fetch.name] = ".".join([*self._attributes(node.path), f"f{place}"])

    def _attributes(self, path: Path) -> Iterator[str]:
        node = self._root
        for key in path:
            yield f"f{len(node.leaves) + list(node.children).index(key)}"
            node = node.children[key]

    def compile(self) -> type[msgspec.Struct]:
        """The struct of a whole message. Rows of earlier ones stay readable: what is fetched keeps its place."""
        return self._root.compile(forbid=not self.lenient)

    def learn(self, message: Mapping[str, Any]) -> bool:
        """Know the keys of a message that nobody asked for; False when there are none that could be known."""
        if self._learnt > _LEARN_KEYS:
            self.lenient = True
            return True
        return self._learn(self._root, message)

    def _learn(self, node: _Node, message: Mapping[str, Any]) -> bool:
        changed = False
        for key, value in message.items():
            if key in node.children:
                if isinstance(value, Mapping):
                    changed |= self._learn(node.children[key], value)
            elif key not in node.leaves and key not in node.extras:
                kind = self._shape(value)
                self._learnt += 1
                changed = True
                if kind is None or not nameable(key):
                    self.lenient = True
                else:
                    node.extras[key] = kind
        return changed

    def _shape(self, value: Any) -> Any:
        """The type of a value that nobody asked for; None when it would not bound its depth."""
        if isinstance(value, dict):
            inner = {key: self._shape(item) for key, item in value.items()}
            self._learnt += len(inner)
            if None in inner.values() or len(inner) > _LEARN_KEYS or not all(map(nameable, inner)):
                return None
            node = _Node((), extras=inner)
            return node.compile(forbid=True) | None
        if isinstance(value, list):
            return None if any(isinstance(item, dict | list) for item in value) else list[_Scalar] | None
        return _Scalar

    def expect_any(self, name: str) -> None:
        """Take a column's texts as they come from now on, because too many are not among the usual ones."""
        for node in self._root.walk():
            for leaf in node.leaves.values():
                if any(fetch.name == name for fetch in leaf.fetches):
                    leaf.usual = ()

    def distrust(self, name: str) -> None:
        """Decode a column untyped from now on, because too many of its values are of the wrong type."""
        self.distrusted.add(name)
        self.lenient = True  # an untyped value can be nested to any depth
        for node in self._root.walk():
            for leaf in node.leaves.values():
                if any(fetch.name == name for fetch in leaf.fetches):
                    leaf.distrusted = True

    def row(self, found: Mapping[str, Any]) -> msgspec.Struct:
        """A message whose values were fetched one by one, in the shape of those that were decoded."""
        return self._row(self._root, found)

    def _row(self, node: _Node, found: Mapping[str, Any]) -> msgspec.Struct:
        values: list[Any] = [found[leaf.fetches[0].name] for leaf in node.leaves.values()]
        values += [self._row(child, found) for child in node.children.values()]
        return node.struct(**{f"f{i}": value for i, value in enumerate(values)})

    def columns(self, rows: Sequence[Any]) -> dict[str, Sequence[Any]]:
        """Every value that is fetched, by name, in columns."""
        found: dict[str, Sequence[Any]] = {}
        self._columns(self._root, rows, found)
        return found

    def _columns(self, node: _Node, rows: Sequence[Any], found: dict[str, Sequence[Any]]) -> None:
        # zip ends with the shortest tuple, so rows of structs that knew fewer extra keys do no harm: those come last.
        columns: list[Sequence[Any]] = list(zip(*map(_astuple, rows), strict=False))
        if not rows:
            columns = [()] * (len(node.leaves) + len(node.children))
        for leaf, column in zip(node.leaves.values(), columns, strict=False):
            for fetch in leaf.fetches:
                found[fetch.name] = column
        for child, column in zip(node.children.values(), columns[len(node.leaves) :], strict=False):
            self._columns(child, column, found)

    def strangers(self, under: Path, features: Mapping[str, Any]) -> Iterator[str]:
        """The keys of an open object that no column has, as dotted names."""
        node: _Node | None = self._root
        for key in under:
            node = node.children.get(key) if node is not None else None
        yield from self._strangers(node, features, "")

    def _strangers(self, node: _Node | None, features: Mapping[str, Any], prefix: str) -> Iterator[str]:
        for key, value in features.items():
            name = f"{prefix}{key}"
            child = node.children.get(key) if node is not None else None
            if name in self._known_features or (node is not None and key in node.leaves):
                continue
            if isinstance(value, dict):
                yield from self._strangers(child, value, f"{name}.")
            elif child is None:
                yield name
