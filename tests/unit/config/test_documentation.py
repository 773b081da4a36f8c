"""The examples load, the schema names every key, and the page of documentation is up to date."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.config.document import read_document
from daemon.config.load import load_leniently
from daemon.config.page import updated
from daemon.config.schema import json_schema
from daemon.config.settings import Settings
from daemon.config.shape import Choice, Each, Group, Shape, file_shape
from daemon.config.tree import KeyPath, Node

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
PAGE = ROOT / "docs" / "configuration.md"


def keys(shape: Shape, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Group]]:
    """Every key of the format and the group that it is in; names of the user's own are `*`."""
    match shape:
        case Group():
            for key, below in shape.fields.items():
                yield (*path, key), shape
                yield from keys(below, (*path, key))
        case Each():
            yield from keys(shape.of, (*path, "*"))
        case Choice():
            for group in shape.groups.values():
                yield from keys(group, path)


def written(node: Node, shape: Shape | None, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key that a file uses, a secret's file under the secret's name."""
    for key, child in node.value.items() if isinstance(node.value, dict) else ():
        group = shape if isinstance(shape, Group) else None
        if isinstance(shape, Choice):
            group = shape.groups[str(_value(node, shape.by))]
        name = (group.secret_of(key) or key) if group is not None else "*" if isinstance(shape, Each) else key
        yield (*path, name)
        below = shape.of if isinstance(shape, Each) else group.fields.get(name) if group is not None else None
        yield from written(child, below, (*path, name))


def _value(node: Node, key: str) -> object:
    return node.value[key].value if isinstance(node.value, dict) else None


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_an_example_loads_without_a_complaint(file: Path) -> None:
    # Given what the example asks for; the files of its secrets are not on this machine.
    loaded = load_leniently(file, environ={"SLACK_BOT_TOKEN": "xoxb-test"}, secrets=False)
    assert loaded.problems == ()


def test_the_minimal_example_is_as_short_as_it_says_and_stands_in_the_page() -> None:
    text = (ROOT / "configs" / "minimal.yaml").read_text(encoding="utf-8")
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    assert body in PAGE.read_text(encoding="utf-8")
    assert body.count("\n") == 9
    loaded = load_leniently(ROOT / "configs" / "minimal.yaml", environ={"SLACK_BOT_TOKEN": "xoxb-test"})
    model = loaded.settings.models["flight-delay"]
    assert model.reference.is_live
    assert str(model.reference.window) == "first 14 windows"


def test_the_complete_example_has_every_key() -> None:
    root, _ = read_document("complete.yaml", (ROOT / "configs" / "complete.yaml").read_bytes())
    assert root is not None
    used = {("models", "*", *path[1:]) if path[0] == "defaults" else path for path in written(root, file_shape())}
    wanted = {path for path, _ in keys(file_shape()) if path[0] != "defaults"}
    assert wanted - used == set()


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert updated(page) == page, "run: python -m daemon.config.page docs/configuration.md"


def test_the_page_has_every_key_of_the_schema() -> None:
    page = PAGE.read_text(encoding="utf-8")
    schema = json_schema()
    groups = [schema, *schema["$defs"].values()]
    missing = [key for group in groups for key in group["properties"] if f"| `{key}` |" not in page]
    assert missing == []


def test_the_schema_has_every_key_with_its_meaning() -> None:
    schema = json_schema()
    count = 0
    for path, group in keys(file_shape()):
        found = definition(schema, path[:-1])
        names = [key for one in found for key in one["properties"]]
        assert path[-1] in names, path
        assert {key for key in group.keys if group.secret_of(key)} <= set(names), path
        count += 1
    assert count > 100
    for group in (schema, *schema["$defs"].values()):
        assert group["additionalProperties"] is False
        assert group["description"]
        for key, field in group["properties"].items():
            assert field.get("description") or "$ref" in field, key


def test_the_schema_has_durations_as_people_write_them() -> None:
    size = json_schema()["$defs"]["Window"]["properties"]["size"]
    assert size["default"] == "1d"
    assert re.fullmatch(size["pattern"], "90m")
    assert not re.fullmatch(size["pattern"], "90")
    assert "PT" not in json.dumps([group["properties"] for group in json_schema()["$defs"].values()]).replace(
        "ASCII", ""
    )


def test_a_secret_is_given_or_its_file_is() -> None:
    sasl = json_schema()["$defs"]["Sasl"]
    assert sasl["required"] == ["mechanism", "username"]
    assert sasl["allOf"] == [{"oneOf": [{"required": ["password"]}, {"required": ["password_file"]}]}]


def test_every_settings_class_and_field_is_described() -> None:
    schema = Settings.model_json_schema()
    assert all(group.get("description") for group in schema["$defs"].values())


def definition(schema: dict[str, Any], path: KeyPath) -> list[dict[str, Any]]:
    """The groups of a schema that stand at a key path."""
    groups = [schema]
    for step in path:
        groups = [below for group in groups for below in step_into(schema, group, str(step))]
    return groups


def step_into(schema: dict[str, Any], group: dict[str, Any], step: str) -> list[dict[str, Any]]:
    field = (
        group["properties"].get(step)
        if "properties" in group
        else group["additionalProperties"]
        if step == "*"
        else None
    )
    if field is None:
        return []
    options = [field, *field.get("anyOf", ()), *field.get("oneOf", ())]
    found = [schema["$defs"][option["$ref"].rpartition("/")[2]] for option in options if "$ref" in option]
    return found or [field]
