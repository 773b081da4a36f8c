"""A resolved tree made into settings, and pydantic's complaints turned into problems with a place and a hint."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from daemon.config.errors import Problem
from daemon.config.forms import UNREAD_SECRETS
from daemon.config.quantities import duration_text, shown
from daemon.config.shape import Choice, Each, Group, Leaf, Shape
from daemon.config.tree import KeyPath, Node, Plain, plain

S = TypeVar("S", bound=BaseModel)

_KEY = "[key]"
"""What pydantic's locations end with where a mapping's key is wrong, not its value."""
_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "dict": "a mapping of keys to values",
    "mapping": "a mapping of keys to values",
    "model": "a mapping of keys to values",
    "path": "a path",
    "none": "nothing",
}


@dataclass(frozen=True, slots=True)
class Validated(Generic[S]):
    """Settings, what is wrong with them, and the paths (from the root of the tree) whose values are not to be trusted.

    With problems, `settings` has other values in the place of broken and missing ones, so that the rest can be
    checked; it is None when that is impossible.
    """

    settings: S | None
    problems: tuple[Problem, ...]
    untrusted: frozenset[KeyPath]


def validate(
    kind: type[S], tree: Node, shape: Shape, path: KeyPath, *, complete: bool = True, secrets: bool = True
) -> Validated[S]:
    """Make settings of a tree whose root stands at `path`.

    An incomplete one may lack what is required; without `secrets` those that have not been read are not looked at.
    """
    data, untrusted = _without_broken(tree, ())
    problems: list[Problem] = []
    settings: S | None = None
    stood_in: set[KeyPath] = set()
    # Again without what was complained about, and with something in the place of what is missing: so that all of the
    # rest is checked in one run. Each round mends one level of nesting.
    for _ in range(4):
        try:
            settings = kind.model_validate(data, context={UNREAD_SECRETS: not secrets})
            break
        except ValidationError as error:
            bad: set[KeyPath] = set()
            for details in error.errors(include_url=False):
                where = _file_path(details["loc"], shape)
                is_missing = details["type"] == "missing"
                if not any(_overlap(where, other) for other in untrusted):
                    bad.add(where)
                    if complete or not is_missing:
                        problems.append(_problem(details, tree, where, path))
                if where in stood_in:
                    return Validated(None, tuple(problems), frozenset(untrusted | bad))
                if is_missing:
                    stood_in.add(where)
                _mend(data, where, _stand_in(shape, where, is_missing=is_missing))
            untrusted |= bad
    return Validated(settings, tuple(problems), frozenset(untrusted))


def _without_broken(node: Node, path: KeyPath) -> tuple[dict[str, Plain], set[KeyPath]]:
    """The values below a node without the broken ones, and where those are."""
    kept: dict[str, Plain] = {}
    broken: set[KeyPath] = set()
    for key, child in node.value.items() if isinstance(node.value, dict) else ():
        if child.broken:
            broken.add((*path, key))
        elif isinstance(child.value, dict):
            kept[key], below = _without_broken(child, (*path, key))
            broken |= below
        else:
            kept[key] = plain(child)
    return kept, broken


def _mend(data: dict[str, Plain], where: KeyPath, stand_in: Plain) -> None:
    """Put `stand_in` at a path, or take away what is there; an item of a list takes its list with it."""
    for position, step in enumerate(where):
        below = data.get(str(step))
        if position == len(where) - 1 or not isinstance(below, dict):
            if stand_in is None:
                data.pop(str(step), None)
            else:
                data[str(step)] = stand_in
            return
        data = below


def _stand_in(shape: Shape, where: KeyPath, *, is_missing: bool) -> Plain:
    """Something in the place of a value, or None when its default will do."""
    current: Shape | None = shape
    for step in where:
        if isinstance(current, Each):
            current = current.of
        elif isinstance(current, Group):
            current = current.fields.get(str(step))
        else:
            current = None
    if isinstance(current, Group):
        return {}
    if not is_missing:
        return None
    return current.stand_in if isinstance(current, Leaf) else {}


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _file_path(loc: tuple[int | str, ...], shape: Shape) -> KeyPath:
    """A location of pydantic's as the key path in the file: without the tags of unions and its mark for a bad key."""
    path: list[int | str] = []
    current: Shape | None = shape
    for step in loc[:-1] if loc[-1:] == (_KEY,) else loc:
        if isinstance(current, Choice):
            current = current.groups.get(str(step))
            if current is not None:
                continue
        path.append(step)
        if isinstance(current, Each):
            current = current.of
        elif isinstance(current, Group):
            current = current.fields.get(str(step))
        else:
            current = None
    return tuple(path)


def _problem(details: ErrorDetails, tree: Node, where: KeyPath, root: KeyPath) -> Problem:
    node, found = tree.find(where)
    if details["type"] == "missing":
        parent, _ = tree.find(where[:-1])
        return parent.key_problem("is required", path=(*root, *where))
    message, hint = _message(details)
    # A value from `defaults` is reported under the path where it is written.
    report = node.key_problem if details["loc"][-1:] == (_KEY,) else node.problem
    return report(message, hint, path=node.path if found else (*root, *where))


def _message(details: ErrorDetails) -> tuple[str, str]:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    name, _, fault = kind.rpartition("_")
    if kind == "value_error":
        return str(context["error"]), ""
    if kind in ("literal_error", "enum"):
        return _one_of(str(context["expected"]), value)
    if kind == "union_tag_invalid":
        return _one_of(str(context["expected_tags"]), context["tag"])
    if kind == "union_tag_not_found":
        return f"needs the key {str(context['discriminator']).strip(chr(39))}", ""
    if kind in ("string_too_short", "too_short"):
        return "must not be empty", ""
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        limit = next(iter(context.values()))
        words = {"greater_than": "more than", "less_than": "less than", "less_than_equal": "at most"}
        text = duration_text(limit) if hasattr(limit, "total_seconds") else str(limit)
        return f"must be {words.get(kind, 'at least')} {text}, not {shown(value)}", ""
    if kind == "finite_number":
        return f"must be a finite number, not {shown(value)}", ""
    if kind == "int_from_float":
        return f"must be a whole number, not {shown(value)}", ""
    base = name.split("_")[0]
    if fault in ("type", "parsing") and base in _WANTED:
        if "mapping" in _WANTED[base] and isinstance(value, str):
            # Not quoted: somebody may have written a token where a section with secrets belongs.
            return f"must be {_WANTED[base]}, not text", ""
        hint = "put it in quotes" if base == "string" and isinstance(value, bool | int | float) else ""
        return f"must be {_WANTED[base]}, not {shown(value)}", hint
    return details["msg"][:1].lower() + details["msg"][1:], ""


def _one_of(expected: str, value: object) -> tuple[str, str]:
    """`expected` is pydantic's list of quoted words."""
    words = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
    nearest = get_close_matches(str(value), words, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else ""
    allowed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    return f"must be {allowed}, not {shown(value)}", hint
