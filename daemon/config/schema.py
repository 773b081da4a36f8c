"""The JSON schema of a configuration file, for editors: `driftd config schema`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from daemon.config.quantities import AlarmBudget, FirstWindows, duration_text
from daemon.config.settings import Settings
from daemon.config.shape import FILE_SUFFIX

# What a model needs may stand in `defaults` as well, so an editor cannot tell from here what it lacks.
_COMPLETED_BY_DEFAULTS = ("Model", "Predictions", "Labels")


class _Generate(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """Durations and budgets as people write them."""
        if isinstance(dft, timedelta):
            return duration_text(dft)
        return str(dft) if isinstance(dft, AlarmBudget | FirstWindows) else super().encode_default(dft)


def json_schema(*, completed_by_defaults: bool = True) -> dict[str, Any]:
    """A JSON schema (2020-12) of one file: durations and the like as patterns, every secret also as `*_file`.

    Without `completed_by_defaults` a model must have everything that it needs itself.
    """
    schema = Settings.model_json_schema(by_alias=True, schema_generator=_Generate)
    for definition in schema["$defs"].values():
        _add_secret_files(definition)
    for name in _COMPLETED_BY_DEFAULTS if completed_by_defaults else ():
        schema["$defs"][name].pop("required", None)
    defaults = {"$ref": "#/$defs/Model", "description": "What every model has that does not say otherwise."}
    models = schema["properties"].pop("models")
    schema["properties"] |= {"defaults": defaults, "models": models}
    # In a folder the models have files of their own.
    schema["required"].remove("models")
    _without_titles(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "driftd",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _add_secret_files(definition: dict[str, Any]) -> None:
    properties: dict[str, Any] = {}
    required: list[str] = definition.get("required", [])
    one_of: list[dict[str, Any]] = []
    for name, field in definition.get("properties", {}).items():
        properties[name] = field
        if field.get("format") == "password":
            del field["format"]
            description = f"A file that holds `{name}`; line ends behind it are left out."
            properties[name + FILE_SUFFIX] = {"type": "string", "minLength": 1, "description": description}
            if name in required:
                required.remove(name)
                one_of.append({"oneOf": [{"required": [name]}, {"required": [name + FILE_SUFFIX]}]})
    if one_of:
        definition["properties"] = properties
        definition["allOf"] = one_of
        if not required:
            definition.pop("required", None)


def _without_titles(schema: dict[str, Any]) -> None:
    """Pydantic's titles are the keys once more."""
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    for definition in schema.get("$defs", {}).values():
        definition.pop("title", None)
        _without_titles(definition)
