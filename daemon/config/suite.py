"""A model's own Evidently suite as it is written: entries, each a preset or a metric with its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import JsonValue, PlainSerializer, PlainValidator, WithJsonSchema

from daemon.config.suite_words import DEFAULT, METRICS, OF_CLASSES, OF_ERRORS, PRESETS

PRESET = "preset"
METRIC = "metric"
TESTS = "tests"


class Deep:
    """Marks a field that holds lists and mappings of any depth: their keys are not the format's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it is written; whether it makes sense is for a check to say."""

    written: Mapping[str, JsonValue]

    @property
    def kinds(self) -> list[str]:
        """`preset` or `metric`; an entry with both or neither is mistaken."""
        return [kind for kind in (PRESET, METRIC) if kind in self.written]

    @property
    def is_preset(self) -> bool:
        return PRESET in self.written

    @property
    def name(self) -> str:
        """The class of Evidently's."""
        return str(self.written.get(PRESET if self.is_preset else METRIC))

    @property
    def default_tests(self) -> bool:
        """Whether Evidently's own tests are asked for."""
        return self.written.get(TESTS) == DEFAULT

    @property
    def parameters(self) -> dict[str, JsonValue]:
        """What the class is made with."""
        return {
            name: value
            for name, value in self.written.items()
            if name not in (PRESET, METRIC) and not (name == TESTS and self.default_tests)
        }

    @property
    def labelled(self) -> bool:
        """Whether it needs the labels."""
        return self.name in OF_CLASSES or self.name in OF_ERRORS


def _entries(value: object) -> tuple[Entry, ...]:
    if isinstance(value, tuple) and all(isinstance(one, Entry) for one in value):
        return value
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise ValueError("must be a list of entries such as {preset: DataDriftPreset} or {metric: RowCount}")
    return tuple(Entry({str(key): below for key, below in one.items()}) for one in value)


def _written(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    return [dict(entry.written) for entry in entries]


_ITEM = {
    "type": "object",
    "properties": {
        PRESET: {"enum": list(PRESETS), "description": "A preset of Evidently's."},
        METRIC: {"enum": list(METRICS), "description": "A metric of Evidently's."},
        "column": {"type": "string", "description": "The column that a metric is of."},
        "columns": {"type": "array", "items": {"type": "string"}, "description": "The columns of a preset."},
        TESTS: {"description": "Evidently's tests with their limits, `{lte: 5}`; `default`: those that it would run."},
    },
    "oneOf": [{"required": [PRESET]}, {"required": [METRIC]}],
}

Suite = Annotated[
    tuple[Entry, ...],
    Deep,
    PlainValidator(_entries),
    PlainSerializer(_written, return_type=list[dict[str, Any]]),
    WithJsonSchema({"type": "array", "items": _ITEM}),
]
"""Entries in the order in which they are written."""
