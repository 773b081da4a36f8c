"""What can be said of an Evidently suite without Evidently: names, parameters, tests, what they need of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from pydantic import JsonValue

from daemon.config.checks import Complaint, hint_for
from daemon.config.quantities import shown
from daemon.config.settings import Model
from daemon.config.suite import METRIC, PRESET, TESTS, Entry
from daemon.config.suite_words import (
    AROUND,
    BY_LABEL,
    DEFAULT,
    METRICS,
    NOT_OFFERED,
    OF_CLASSES,
    OF_LISTS,
    OF_SCORES,
    PRESETS,
    REFERENCE,
    REQUIRED,
)
from daemon.config.suite_words import TESTS as NAMES
from daemon.config.tree import KeyPath
from daemon.config.unavailable import NOT_AVAILABLE
from daemon.config.vocabulary import EVIDENTLY_TESTS

MOST_ENTRIES = 50
_ROOT = "evidently"


def check_suite(model: Model) -> Iterator[Complaint]:
    """Everything that is wrong with a model's suite."""
    if len(model.evidently) > MOST_ENTRIES:
        yield Complaint((_ROOT,), f"has {len(model.evidently)} entries; {MOST_ENTRIES} are the limit")
    for index, entry in enumerate(model.evidently):
        path: KeyPath = (_ROOT, index)
        earlier = model.evidently.index(entry)
        if earlier < index:
            yield Complaint(path, f"is the same as entry {earlier + 1}", "an entry can stand once")
        named = _named(entry)
        named_as = {_identity(one): place for place, one in reversed(list(enumerate(model.evidently[:index])))}
        if earlier == index and not named and _identity(entry) in named_as:
            other = named_as[_identity(entry)] + 1
            yield Complaint(path, f"measures the same as entry {other}", "give one entry all of the tests")
        if named:
            yield from (Complaint((*path, *below), message, hint) for below, message, hint in named)
            continue
        yield from _parameters(entry, path)
        yield from _needs(entry, path, model)


def _identity(entry: Entry) -> tuple[str, str]:
    """What the findings of an entry are called by: everything but its tests."""
    parameters = {name: value for name, value in entry.parameters.items() if not name.endswith(TESTS)}
    return entry.name, repr(sorted(parameters.items()))


def _named(entry: Entry) -> list[tuple[KeyPath, str, str]]:
    """What is wrong with the name, as (key path below the entry, message, hint)."""
    if len(entry.kinds) != 1:
        said = "names both a preset and a metric" if entry.kinds else "names neither a preset nor a metric"
        return [((), said, "{preset: DataDriftPreset} or {metric: RowCount}")]
    kind, name = entry.kinds[0], entry.name
    here, there, other = (PRESETS, METRICS, METRIC) if kind == PRESET else (METRICS, PRESETS, PRESET)
    if name in here:
        return []
    if name in NOT_OFFERED:
        return [((kind,), f"{name} {NOT_AVAILABLE}: it {NOT_OFFERED[name]}", "")]
    if name in there:
        return [((kind,), f"{name} is a {other} of Evidently's", f"{other}: {name}")]
    return [((kind,), f"Evidently has no {kind} {name!r}", hint_for(name, here))]


def _parameters(entry: Entry, path: KeyPath) -> Iterator[Complaint]:
    known = (PRESETS if entry.is_preset else METRICS)[entry.name]
    meant: set[str] = set()
    for name, value in entry.parameters.items():
        if name not in known:
            if name == TESTS and entry.is_preset:
                hint = f"{TESTS}: {DEFAULT}, or a parameter such as {next((n for n in known if TESTS in n), 'columns')}"
                yield Complaint((*path, name), f"{entry.name} has no tests of its own to be given", hint)
            else:
                meant.update(get_close_matches(name, known, n=1))
                yield Complaint((*path, name), f"{entry.name} has no parameter {name!r}", hint_for(name, known))
        elif name.endswith(TESTS):
            by_label = name in BY_LABEL.get(entry.name, ())
            yield from _labels(value, (*path, name)) if by_label else _tests(value, (*path, name))
        elif name.endswith("method") and isinstance(value, str) and value not in EVIDENTLY_TESTS:
            yield Complaint((*path, name), f"Evidently has no test {value!r}", hint_for(value, EVIDENTLY_TESTS))
    for name in REQUIRED.get(entry.name, ()):
        if name not in entry.parameters and name not in meant:
            yield Complaint(path, f"{entry.name} needs the parameter {name!r}", f"{name}: ...")


def _labels(value: JsonValue, path: KeyPath) -> Iterator[Complaint]:
    if not isinstance(value, Mapping) or not value or set(value) <= set(NAMES):
        yield Complaint(path, "must hold tests by label", "{late: {gte: 0.7}}")
        return
    for label, tests in value.items():
        yield from _tests(tests, (*path, label))


def _tests(value: JsonValue, path: KeyPath) -> Iterator[Complaint]:
    if not isinstance(value, Mapping) or not value:
        yield Complaint(path, f"must be tests with their limits, not {shown(value)}", "{lte: 5}")
        return
    for name, limit in value.items():
        here = (*path, name)
        if name not in NAMES:
            yield Complaint(here, f"Evidently has no test {name!r}", hint_for(name, NAMES))
        elif name in OF_LISTS:
            if not isinstance(limit, list) or not limit or not all(map(_is_number, limit)):
                yield Complaint(here, f"must be a list of numbers, not {shown(limit)}")
        elif isinstance(limit, Mapping):
            yield from _around(limit, here)
        elif not _is_number(limit):
            yield Complaint(here, f"must be a number, or {{reference: ...}}, not {shown(limit)}")


def _around(limit: Mapping[str, JsonValue], path: KeyPath) -> Iterator[Complaint]:
    around = limit.get(REFERENCE)
    hint = "{reference: {relative: 0.1}}"
    if set(limit) != {REFERENCE} or not isinstance(around, Mapping) or not around:
        yield Complaint(path, "must be a number, or a limit around the reference's value", hint)
        return
    for name, size in around.items():
        if name not in AROUND:
            yield Complaint((*path, REFERENCE, name), f"unknown key {name!r}", hint_for(name, AROUND))
        elif not _is_number(size) or float(str(size)) <= 0:
            yield Complaint((*path, REFERENCE, name), f"must be a number above 0, not {shown(size)}", hint)


def _needs(entry: Entry, path: KeyPath, model: Model) -> Iterator[Complaint]:
    seen: tuple[KeyPath, ...] = (("task",), ("labels",), ("predictions", "fields"))
    where = (*path, entry.kinds[0])
    if entry.labelled:
        tasks = ("binary_classification", "multiclass") if entry.name in OF_CLASSES else ("regression",)
        if model.task not in tasks:
            message = f"{entry.name} judges the task {' or '.join(tasks)}, not {model.task}"
            yield Complaint(where, message, seen=seen[:1])
        elif model.labels is None:
            yield Complaint(where, f"{entry.name} needs `labels`", seen=seen[:2])
        if entry.name in OF_SCORES and model.task == "multiclass":
            message = f"{entry.name} needs probabilities, which a reference keeps for a binary classifier only"
            yield Complaint(where, message, "alerts.quality has driftd's own", seen[:1])
        elif entry.name in OF_SCORES and model.predictions.fields.score is None:
            hint = "predictions: {fields: {score: ...}}"
            yield Complaint(where, f"{entry.name} needs the field of the score", hint, seen)
    excluded: tuple[KeyPath, ...] = (("columns", "exclude"),)
    for key in entry.parameters.keys() & {"column", "column_name", "columns"}:
        given = entry.parameters[key]
        names = given if key == "columns" and isinstance(given, list) else [given]
        if not all(isinstance(name, str) for name in names) or (key == "columns" and not isinstance(given, list)):
            wanted = "a list of columns" if key == "columns" else "a column's name"
            yield Complaint((*path, key), f"must be {wanted}, not {shown(given)}")
            continue
        for name in sorted(set(map(str, names)).intersection(model.columns.exclude)):
            message = f"the column {name!r} is excluded by columns.exclude"
            yield Complaint((*path, key), message, seen=excluded)


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
