"""Quantities as people write them: `6h`, `2 windows`, `90%`, `2 per week`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from math import isfinite
from typing import Annotated, Any, Literal, Self

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

MICROSECOND = timedelta(microseconds=1)

UNITS: dict[str, timedelta] = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
LONGEST = timedelta(days=3650)
PERIODS: dict[str, timedelta] = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([^\W\d_]+)\s*")
_NUMBER = re.compile(r"\s*[+-]?\d+(?:\.\d+)?\s*")
_WINDOWS = re.compile(r"\s*(\d+)(?:\s*windows?)?\s*")
_FIRST = re.compile(r"\s*first\s+(.+?)\s*")
_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
_BUDGET = re.compile(r"\s*(\d+(?:\.\d+)?)\s+per\s+(day|week|month)\s*")

DURATION_PATTERN = r"^\d+(\.\d+)?\s*(ms|s|m|h|d)$"
PERCENT_PATTERN = r"^\d+(\.\d+)?\s*%$"


def shown(value: object) -> str:
    """A value as an error message quotes it: short, on one line, in YAML's own words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not isfinite(value):
        return ".nan" if value != value else ".inf" if value > 0 else "-.inf"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def parse_duration(value: object) -> timedelta:
    """A duration of at most ten years; a number without a unit is refused.

    >>> parse_duration("90m")
    datetime.timedelta(seconds=5400)
    """
    if isinstance(value, timedelta):
        return value
    allowed = "write a number and a unit: 250ms, 30s, 5m, 1h or 7d"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be a duration, not {shown(value)}; {allowed}")
    text = str(value)
    if _NUMBER.fullmatch(text):
        raise ValueError(f"{text.strip()} has no unit; {allowed}")
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{shown(value)} is not a duration; {allowed}")
    unit = UNITS.get(match[2])
    if unit is None:
        raise ValueError(f"{shown(value)} has the unknown unit {match[2]!r}; the units are ms, s, m, h and d")
    # Fractions, so that 0.1s is 100,000 microseconds on every machine.
    micros = Fraction(match[1]) * (unit // MICROSECOND)
    if micros > LONGEST // MICROSECOND:
        raise ValueError(f"{shown(value)} is longer than ten years")
    if micros.denominator != 1:
        raise ValueError(f"{shown(value)} is not a whole number of microseconds")
    return timedelta(microseconds=int(micros))


def duration_text(value: timedelta) -> str:
    """The shortest spelling that `parse_duration` reads back to the same duration.

    >>> duration_text(timedelta(hours=36))
    '36h'
    """
    for unit in ("d", "h", "m", "s", "ms"):
        if value % UNITS[unit] == timedelta(0) and (value or unit == "s"):
            return f"{value // UNITS[unit]}{unit}"
    return f"{value / UNITS['ms']:.3f}ms"


_DURATION_SCHEMA: JsonSchemaValue = {"type": "string", "pattern": DURATION_PATTERN}

Duration = Annotated[
    timedelta,
    PlainValidator(parse_duration),
    PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema(_DURATION_SCHEMA),
]


def _parse_positive(value: object) -> timedelta:
    duration = parse_duration(value)
    if duration <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return duration


PositiveDuration = Annotated[
    timedelta,
    PlainValidator(_parse_positive),
    PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema(_DURATION_SCHEMA),
]


def _word_or_text(value: str | timedelta) -> str:
    return value if isinstance(value, str) else duration_text(value)


def _parse_start(value: object) -> Literal["latest", "earliest"] | timedelta:
    if value == "latest":
        return "latest"
    if value == "earliest":
        return "earliest"
    try:
        return _parse_positive(value)
    except ValueError as error:
        raise ValueError(f"must be latest, earliest or how far back to begin, such as 14d: {error}") from None


Start = Annotated[
    Literal["latest", "earliest"] | timedelta,
    PlainValidator(_parse_start),
    PlainSerializer(_word_or_text, when_used="json"),
    WithJsonSchema({"anyOf": [{"enum": ["latest", "earliest"]}, _DURATION_SCHEMA]}),
]


def _parse_auto(value: object) -> Literal["auto"] | timedelta:
    if value == "auto":
        return "auto"
    try:
        return _parse_positive(value)
    except ValueError as error:
        raise ValueError(f"must be auto or a duration: {error}") from None


AutoDuration = Annotated[
    Literal["auto"] | timedelta,
    PlainValidator(_parse_auto),
    PlainSerializer(_word_or_text, when_used="json"),
    WithJsonSchema({"anyOf": [{"const": "auto"}, _DURATION_SCHEMA]}),
]


def _parse_fraction(value: object) -> float:
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value)
        if match is not None:
            return float(Fraction(match[1]) / 100)
        if _NUMBER.fullmatch(value):
            return float(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"must be a share such as 90% or 0.9, not {shown(value)}")


def parse_share(value: object) -> float:
    """A share of at most 1, also in percent.

    >>> parse_share("10%"), parse_share(0.25)
    (0.1, 0.25)
    """
    share = _parse_fraction(value)
    if not 0 <= share <= 1:
        hint = f"; {share:g} percent is written {share:g}%" if 1 < share <= 100 else ""
        raise ValueError(f"must be between 0 and 1, or between 0% and 100%, not {shown(value)}{hint}")
    return share


def _parse_change(value: object) -> float:
    change = _parse_fraction(value)
    if not 0 <= change <= 1000:
        raise ValueError(f"must be between 0% and 100000%, not {shown(value)}")
    return change


Share = Annotated[
    float,
    PlainValidator(parse_share),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": PERCENT_PATTERN}]}
    ),
]

RelativeChange = Annotated[
    float,
    PlainValidator(_parse_change),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": PERCENT_PATTERN}]}),
]


class Windows(int):
    """A number of disjoint windows, 1 to 100; written `2 windows`, or plainly `2`.

    >>> Windows.parse("2 windows")
    2
    """

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `2 windows`, `1 window` or a whole number."""
        match = _WINDOWS.fullmatch(str(value)) if isinstance(value, str | int) and value is not True else None
        if match is None:
            raise ValueError(f"must be a number of windows, such as `2 windows`, not {shown(value)}")
        if not 1 <= int(match[1]) <= 100:
            raise ValueError(f"must be 1 to 100 windows, not {shown(value)}")
        return cls(match[1])

    @property
    def text(self) -> str:
        """The number with its noun."""
        return "1 window" if self == 1 else f"{int(self)} windows"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda windows: windows.text, when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 100},
                {"type": "string", "pattern": r"^\d+(\s*windows?)?$"},
            ]
        }


@dataclass(frozen=True, slots=True)
class FirstWindows:
    """The first so many windows of a model's traffic, or as many as make up a duration; `first 14 windows`, `first 3d`.

    >>> FirstWindows.parse("first 3d").count(timedelta(hours=12))
    6
    """

    windows: int | None
    duration: timedelta | None

    def count(self, size: timedelta) -> int:
        """How many windows of a size that is, at least one."""
        if self.duration is None:
            return self.windows or 1
        return max(1, -(-self.duration // size))

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `first N windows` or `first DURATION`."""
        if isinstance(value, cls):
            return value
        match = _FIRST.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"must be `first N windows` or `first` and a duration such as 3d, not {shown(value)}")
        if "window" in match[1]:
            return cls(int(Windows.parse(match[1])), None)
        return cls(None, _parse_positive(match[1]))

    def __str__(self) -> str:
        if self.windows is not None:
            return f"first {Windows(self.windows).text}"
        return f"first {duration_text(self.duration or timedelta(0))}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": r"^first\s+\d+(\.\d+)?\s*(windows?|ms|s|m|h|d)$"}


@dataclass(frozen=True, slots=True)
class AlarmBudget:
    """How many false alarms a whole installation may raise in a period; written `2 per week`.

    >>> AlarmBudget.parse("1 per day").per_week
    7.0
    """

    count: float
    period: timedelta

    @property
    def per_week(self) -> float:
        """The same budget as alarms in a week."""
        return self.count * (PERIODS["week"] / self.period)

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `COUNT per day`, `per week` or `per month` (30 days); the count is above 0."""
        if isinstance(value, cls):
            return value
        match = _BUDGET.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"must be `N per day`, `N per week` or `N per month`, not {shown(value)}")
        if not 0 < float(match[1]) <= 10_000:
            raise ValueError(f"must be more than 0 and at most 10000, not {match[1]}")
        return cls(float(match[1]), PERIODS[match[2]])

    def __str__(self) -> str:
        period = next((name for name, length in PERIODS.items() if length == self.period), None)
        return f"{self.count:g} per {period or duration_text(self.period)}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": r"^\d+(\.\d+)?\s+per\s+(day|week|month)$"}
