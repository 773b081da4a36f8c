"""What can be wrong with a file before anybody asks what it means."""

from __future__ import annotations

import pytest

from daemon.config.document import DEEPEST, MOST_NODES, read_document, resolve
from daemon.config.tree import Node, plain
from tests.unit.config.texts import told

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)

MISTAKES: list[tuple[str, str | bytes, list[str]]] = [
    ("empty", "", ["1:1: the file is empty"]),
    ("comments only", "# nothing\n---\n", ["1:1: the file is empty"]),
    ("a list", "- a\n", ["1:1: must be a mapping of keys to values"]),
    ("not UTF-8", b"a: 1\nb: caf\xe9\n", ["2:7: is not UTF-8 (save the file as UTF-8)"]),
    ("a control character", "a: 1\nb: \x01\n", ["2:4: the character '\\x01' is not allowed in YAML"]),
    ("a tab", "a:\n\tb: 1\n", ["2:1: a tab stands where YAML allows only spaces (indent with spaces)"]),
    (
        "two tabs and a duplicate",
        "a:\n\tb: 1\n\tc: 2\na: 3\n",
        [
            "2:1: a tab stands where YAML allows only spaces (indent with spaces)",
            "3:1: a tab stands where YAML allows only spaces (indent with spaces)",
            "4:1: a: the key 'a' stands here a second time (the first is in line 1)",
        ],
    ),
    (
        "a tab after spaces",
        "a:\n    b: 1\n\tc: 2\n",
        ["3:1: a tab stands where YAML allows only spaces (indent with spaces)"],
    ),
    (
        "duplicates",
        "a:\n  b: 1\n  b: 2\n",
        ["3:3: a.b: the key 'b' stands here a second time (the first is in line 2)"],
    ),
    (
        "two documents",
        "a: 1\n---\nb: 2\n",
        ["2:1: a second document begins here (a configuration file holds one document)"],
    ),
    (
        "a tab that may mean this or that",
        "a:\n  b:\n\tc: 1\n",
        ["3:1: a tab stands where YAML allows only spaces (indent with spaces)"],
    ),
    ("a number as key", "a:\n  5: x\n", ["2:3: a: the key 5 must be text (put it in quotes)"]),
    (
        "no key",
        "a: {null: x, ~: y}\n",
        ["1:5: a: the key null must be text (put it in quotes)", "1:14: a: the key ~ must be text (put it in quotes)"],
    ),
    ("a list as key", "? [a, b]\n: x\nc: 1\n", ["1:3: a key must be text, not a mapping or a list"]),
    (
        "a merge key",
        "a: &a {x: 1}\nb: {<<: *a}\n",
        ["2:5: b: merge keys are not read (what models share goes into `defaults`)"],
    ),
    (
        "a tag",
        "a: !!python/object:os.system x\n",
        ["1:4: a: the tag tag:yaml.org,2002:python/object:os.system is not read (leave it out)"],
    ),
    ("an unknown alias", "a: *b\n", ["1:4: a: the alias *b has no anchor &b before it"]),
    ("an alias of itself", "a: &a [1, *a]\n", ["1:11: a[1]: the alias *a contains itself"]),
    ("not YAML", "a: b: c\n", ["1:5: not valid YAML: mapping values are not allowed here"]),
    ("an open bracket", "a: [1, 2\n", ["2:1: not valid YAML: expected ',' or ']', but got '<stream end>'"]),
    ("too deep", "a: " + "[" * 100_000, [f"1:{3 + DEEPEST}: is nested more than {DEEPEST} levels deep"]),
    ("too large", "a: 1\n" + "#" * (1 << 20), ["is larger than 1048576 bytes"]),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES])
def test_mistakes(text: str | bytes, expected: list[str]) -> None:
    _, problems = read_document("f", text if isinstance(text, bytes) else text.encode())
    assert told(problems) == expected


def test_an_alias_bomb_is_one_error() -> None:
    root, problems = read_document("f", BOMB.encode())
    assert root is not None
    assert told(problems) == [f"5:25: a4[3]: aliases expand to more than {MOST_NODES} values"]


def test_an_alias_that_stays_small_is_read() -> None:
    root, problems = read_document("f", b"a: &shared {x: [1, 2]}\nb: *shared\n")
    assert problems == []
    assert root is not None
    assert plain(root) == {"a": {"x": [1, 2]}, "b": {"x": [1, 2]}}
    node, found = root.find(("b", "x", 1))
    assert found
    assert node.path == ("b", "x", 1)


def test_every_node_knows_its_place() -> None:
    root, _ = read_document("f", b"\xef\xbb\xbfa:\n  b: [x, 'y']\n", ("models", "m"))
    assert isinstance(root, Node)
    node, _ = root.find(("a", "b", 1))
    assert (node.at.line, node.at.column, node.quoted) == (2, 10, True)
    assert node.path == ("models", "m", "a", "b", 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2013-01-01", "2013-01-01"),
        ("007", 7),
        ("0x1f", 31),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("True", True),
        ("~", None),
        ("1_000", "1_000"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_words_are_read_by_yaml_1_2(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)
