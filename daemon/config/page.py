"""The tables of docs/configuration.md, made from the settings: `python -m daemon.config.page docs/configuration.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemon.config.schema import json_schema
from daemon.config.unavailable import KEYS, PARTS, VALUES
from daemon.config.vocabulary import FORMATS, METHODS, NEEDS_SCORE, QUALITY_METRICS

BEGIN = "<!-- begin: made by python -m daemon.config.page -->"
END = "<!-- end -->"

_NAMES = {"models": "MODEL", "receivers": "NAME", "overrides": "COLUMN", "quality": "METRIC", "where": "FIELD"}
_DURATION = "duration"


def updated(page: str) -> str:
    """The page with its tables made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """Every key with its type, default and meaning, then the words, then what is not available yet."""
    schema = json_schema(completed_by_defaults=False)
    lines = [line for section in _sections(schema, schema, "") for line in section]
    return "\n".join([*lines, *_words(), *_unavailable()])


def _sections(schema: dict[str, Any], group: dict[str, Any], path: str) -> Iterator[list[str]]:
    heading = f"### `{path}`" if path else "### The file"
    required = dict.fromkeys(group.get("required", ()), "**required**")
    required |= {
        option["required"][0]: "**one of both**" for either in group.get("allOf", ()) for option in either["oneOf"]
    }
    lines = [heading, "", group["description"], "", "| key | value | default | meaning |", "|---|---|---|---|"]
    below: list[tuple[dict[str, Any], str]] = []
    for key, field in group["properties"].items():
        target, where = _group(schema, field, f"{path}.{key}" if path else key, key)
        if target and key != "defaults":
            below += [(option, where) for option in target]
        # Pydantic leaves out a description that equals the group's own.
        meaning = field.get("description") or target[0]["description"]
        default = required.get(key) or _default(field)
        kind = "see `models.MODEL`" if key == "defaults" else f"see `{where}`" if target else _kind(field)
        lines.append(f"| `{key}` | {kind} | {default} | {_cell(meaning)} |")
    yield [*lines, ""]
    for option, where in below:
        kinds = option["properties"].get("type", {})
        yield from _sections(schema, option, f"{where} (type: {kinds['const']})" if "const" in kinds else where)


def _group(schema: dict[str, Any], field: dict[str, Any], path: str, key: str) -> tuple[list[dict[str, Any]], str]:
    """The groups that a field may hold, and their key path."""
    if "additionalProperties" in field:
        return _group(schema, field["additionalProperties"], f"{path}.{_NAMES[key]}", key)[0], f"{path}.{_NAMES[key]}"
    options = [field, *field.get("anyOf", ()), *field.get("oneOf", ())]
    names = [option["$ref"].rpartition("/")[2] for option in options if "$ref" in option]
    return [schema["$defs"][name] for name in names], path


def _kind(field: dict[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{word}`" for word in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "anyOf" in field:
        kinds = dict.fromkeys(_kind(option) for option in field["anyOf"])
        return " or ".join(kinds)
    if "additionalProperties" in field:
        return "mapping of names to text"
    kind = field.get("type")
    if kind == "array":
        if "prefixItems" in field:
            return f"[{', '.join(_kind(item) for item in field['prefixItems'])}]"
        items = _kind(field["items"])
        return f"list of ({items})" if " or " in items else f"list of {items}"
    if isinstance(kind, list):
        return ", ".join(_kind({"type": word}) for word in kind)
    if kind == "string" and "(ms|s|m|h|d)$" in field.get("pattern", ""):
        return _DURATION
    patterns = {
        "%": "percentage",
        "first": "`first N windows` or `first DURATION`",
        "windows": "`N windows`",
        "per": "`N per day`, `week` or `month`",
    }
    pattern = field.get("pattern", "")
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "`true` or `false`",
        "object": "mappings",
    }
    found = next((text for part, text in patterns.items() if part in pattern), None)
    return found or words.get(str(kind), f"`{kind}`")


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default is None or default in ({}, []) or isinstance(default, dict):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _words() -> list[str]:
    methods = ", ".join(f"`{method}`" for method in METHODS)
    lines = ["### Words", "", f"- Formats: {', '.join(f'`{name}`' for name in FORMATS)}."]
    lines += [f"- Drift methods: {methods}, and `evidently:NAME`.", "- Metrics of quality:"]
    for task, metrics in QUALITY_METRICS.items():
        if metrics:
            lines.append(f"    - `{task}`: {', '.join(f'`{metric}`' for metric in metrics)}")
    return [*lines, f"- Metrics that need a score: {', '.join(f'`{metric}`' for metric in sorted(NEEDS_SCORE))}.", ""]


def _unavailable() -> list[str]:
    lines = ["### Not available in this version", "", "These are refused by name, never quietly accepted:", ""]
    lines += [f"- `{_named(path)}`: {what}" for path, what in KEYS.items()]
    for table in (VALUES, PARTS):
        lines += [
            f"- `{_named(path)}: {value}`: {what}" for path, values in table.items() for value, what in values.items()
        ]
    return [*lines, ""]


def _named(path: str) -> str:
    return path.replace("models.*", "models.MODEL").replace("receivers.*", "receivers.NAME")


def main(path: Path) -> None:
    """Write the page anew."""
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
