"""Reads a YAML file into a tree, and says everything that is wrong with it as YAML.

Plain words are read by YAML 1.2's core schema, so that `no`, `on` and `12:30` are text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Protocol

import yaml

from daemon.config.errors import Problem
from daemon.config.tree import KeyPath, Node, Place, Plain, Scalar, located, plain, problem_at

LARGEST_FILE = 1 << 20
DEEPEST = 40
MOST_NODES = 50_000
MOST_TABS = 50
_TAB_WIDTHS = (2, 4, 8)
LONGEST_NUMBER = 40

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
_OTHER_BASE = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")


def resolve(text: str) -> Scalar:
    """What an unquoted word means in YAML 1.2's core schema.

    >>> resolve("0.5"), resolve("no"), resolve("12:30"), resolve("")
    (0.5, 'no', '12:30', None)
    """
    if len(text) > LONGEST_NUMBER:
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if match := _INFINITE.fullmatch(text):
        return float(f"{match[1]}inf")
    return float("nan") if _NAN.fullmatch(text) else text


def read_document(file: str, data: bytes, path: KeyPath = ()) -> tuple[Node | None, list[Problem]]:
    """The mapping in a file, or None, and everything that is wrong with it as YAML; `path` is the root's key path."""
    text, failure = _decode(file, data)
    if text is None:
        return None, [problem_at(failure.place, path, failure.message, failure.hint)] if failure else []
    fixed, tabs, failure = _without_tabs(file, text, _TAB_WIDTHS[0])
    if tabs:
        problems = [
            problem_at(tab, path, "a tab stands where YAML allows only spaces", "indent with spaces") for tab in tabs
        ]
        others = [_without_tabs(file, text, width) for width in _TAB_WIDTHS[1:]]
        if failure is not None or any(_meaning(file, fixed) != _meaning(file, other) for other, *_ in others):
            # Nobody knows how wide the tab was meant to be, so whatever else could be said would mislead.
            return None, problems
    elif failure is not None:
        return None, [problem_at(failure.place, path, failure.message, failure.hint)]
    else:
        problems = []
    builder = _Builder(file, path)
    root = builder.build(fixed)
    problems += builder.problems
    if builder.documents > 1:
        # What is missing may stand in the other one.
        return None, problems
    if root is None:
        return None, problems or [problem_at(Place(file, 1, 1), path, "the file is empty")]
    if not isinstance(root.value, dict):
        return None, [*problems, problem_at(root.at, path, "must be a mapping of keys to values")]
    return located(root, path), problems


def _meaning(file: str, text: str) -> Plain:
    """What a file holds, wherever in it that stands; nothing when it cannot be read."""
    root = None if _first_failure(file, text) else _Builder(file, ()).build(text)
    return None if root is None else plain(root)


@dataclass(frozen=True, slots=True)
class _Failure:
    """What makes a file unreadable; `index` is the character, where it is known."""

    place: Place
    message: str
    hint: str = ""
    index: int | None = None


def _decode(file: str, data: bytes) -> tuple[str | None, _Failure | None]:
    if len(data) > LARGEST_FILE:
        return None, _Failure(Place(file, 0, 0), f"is larger than {LARGEST_FILE} bytes")
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Place(file, before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
        return None, _Failure(place, "is not UTF-8", "save the file as UTF-8")


def _without_tabs(file: str, text: str, width: int) -> tuple[str, list[Place], _Failure | None]:
    """The text with every misplaced tab replaced by `width` spaces, where they were, and a failure of another cause."""
    tabs: list[Place] = []
    while True:
        failure = _first_failure(file, text)
        start = failure.index if failure is not None else None
        if failure is None or start is None or text[start : start + 1] != "\t" or len(tabs) == MOST_TABS:
            return text, tabs, failure
        tabs.append(failure.place)
        rest = text[start:].lstrip("\t")
        text = text[:start] + " " * (width * (len(text) - start - len(rest))) + rest


def _first_failure(file: str, text: str) -> _Failure | None:
    """What stops the parser; nothing when the text is YAML."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    return _Failure(_place(file, event.start_mark), f"is nested more than {DEEPEST} levels deep")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not valid YAML: {error.problem or error.context}"
        index = None if mark is None else mark.index
        # The commonest way to get a variable wrong: { opens a mapping unless it is quoted.
        is_variable = index is not None and text[max(0, index - 1) : index + 1] == "${"
        return _Failure(_place(file, mark), message, 'write "${NAME}" in quotes' if is_variable else "", index)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        return _Failure(place, f"the character {text[error.position : error.position + 1]!r} is not allowed in YAML")
    return None


class _Mark(Protocol):
    line: int
    column: int


def _place(file: str, mark: _Mark | None) -> Place:
    return Place(file, 1, 1) if mark is None else Place(file, mark.line + 1, mark.column + 1)


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    node: Node
    anchor: str | None
    is_key: bool
    key: tuple[str, Place] | None = None
    skip: bool = False
    size: int = 1


class _Builder:
    """Makes nodes out of the parser's events, without recursion and with a limit on what aliases expand to."""

    def __init__(self, file: str, path: KeyPath) -> None:
        self.file = file
        self.path = path
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.nodes = 0
        self.is_too_large = False
        self.documents = 0

    def build(self, text: str) -> Node | None:
        """The first document's root; None when there is none."""
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self._report(event, "a second document begins here", "a configuration file holds one document")
                    break
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._open(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()
        if self.root is not None and self.root.value is None and not self.root.broken:
            return None
        return self.root

    def _place(self, event: yaml.Event) -> Place:
        return _place(self.file, event.start_mark)

    def _path(self) -> KeyPath:
        steps: list[str | int] = [*self.path]
        for frame in self.stack:
            if isinstance(frame.node.value, list):
                steps.append(len(frame.node.value))
            elif frame.key is not None:
                steps.append(frame.key[0])
        return tuple(steps)

    def _report(self, event: yaml.Event, message: str, hint: str = "") -> None:
        self.problems.append(problem_at(self._place(event), self._path(), message, hint))

    def _awaits_key(self) -> bool:
        if not self.stack:
            return False
        frame = self.stack[-1]
        return isinstance(frame.node.value, dict) and frame.key is None and not frame.skip

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        is_key = self._awaits_key()
        if is_key:
            self._report(event, "a key must be text, not a mapping or a list")
        value: list[Node] | dict[str, Node] = {} if isinstance(event, yaml.MappingStartEvent) else []
        broken = self._refused_tag(event, event.tag, ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"))
        self.stack.append(_Open(Node(value, self._place(event), broken=broken), event.anchor, is_key))

    def _close(self) -> None:
        frame = self.stack.pop()
        if frame.is_key:
            self.stack[-1].skip = True
        else:
            self._add(frame.node, frame.size, frame.anchor)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        quoted = not event.implicit[0] or event.style is not None
        value = event.value if quoted else resolve(event.value)
        place = self._place(event)
        if self._awaits_key():
            frame = self.stack[-1]
            frame.size += 1
            if not isinstance(value, str):
                self._report(event, f"the key {event.value or 'null'} must be text", "put it in quotes")
                frame.skip = True
            elif value == "<<" and not quoted:
                self._report(event, "merge keys are not read", "what models share goes into `defaults`")
                frame.skip = True
            else:
                frame.key = (value, place)
            return
        broken = self._refused_tag(event, event.tag, _TEXT_TAGS)
        self._add(Node(value, place, text=event.value, quoted=quoted, broken=broken), 1, event.anchor)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if self._awaits_key():
            self._report(event, "a key must be text, not an alias")
            self.stack[-1].skip = True
            return
        unusable = Node(None, self._place(event), broken=True)
        if any(frame.anchor == event.anchor for frame in self.stack):
            self._report(event, f"the alias *{event.anchor} contains itself")
            self._add(unusable, 1, None)
        elif event.anchor not in self.anchors:
            self._report(event, f"the alias *{event.anchor} has no anchor &{event.anchor} before it")
            self._add(unusable, 1, None)
        else:
            node, size = self.anchors[event.anchor]
            if self.nodes + size > MOST_NODES:
                if not self.is_too_large:
                    self._report(event, f"aliases expand to more than {MOST_NODES} values")
                self.is_too_large = True
                self._add(unusable, 1, None)
            else:
                self.nodes += size
                self._add(node, size, None)

    def _refused_tag(self, event: yaml.Event, tag: str | None, allowed: tuple[str, ...]) -> bool:
        if tag is None or tag in allowed:
            return False
        self._report(event, f"the tag {tag} is not read", "leave it out")
        return True

    def _add(self, node: Node, size: int, anchor: str | None) -> None:
        """Put a finished node where it belongs: under its key, at the end of its list, or at the root."""
        self.nodes += 1
        if anchor is not None:
            self.anchors[anchor] = (node, size)
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        frame.size += size
        if isinstance(frame.node.value, list):
            frame.node.value.append(node)
        elif isinstance(frame.node.value, dict):
            self._put(frame, frame.node.value, node)

    def _put(self, frame: _Open, mapping: dict[str, Node], node: Node) -> None:
        key, frame.key, frame.skip = frame.key, None, False
        if key is None:
            return
        name, place = key
        if name in mapping:
            first = mapping[name].key_at
            message = f"the key {name!r} stands here a second time"
            hint = "" if first is None else f"the first is in line {first.line}"
            self.problems.append(problem_at(place, (*self._path(), name), message, hint))
        else:
            mapping[name] = replace(node, key_at=place)
