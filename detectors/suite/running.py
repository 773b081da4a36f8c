"""Evidently itself, run over two frames: each metric by itself, so that the error of one is its own.

A preset is unfolded into its metrics by Evidently; its page is not drawn. Values and tests are Evidently's.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np

from detectors.columns import PREDICTION, SCORE
from detectors.quality.rows import BINARY, MULTICLASS, REGRESSION
from detectors.rules import SuiteEntry
from detectors.suite.frames import LABEL_COLUMN, Rows
from detectors.suite.measured import PHRASES, Measured, Outcome, Tested, Value, approximate

_TESTS = {
    "EqualMetricTest": "eq",
    "NotEqualMetricTest": "not_eq",
    "GreaterThanMetricTest": "gt",
    "GreaterOrEqualMetricTest": "gte",
    "LessThanMetricTest": "lt",
    "LessOrEqualMetricTest": "lte",
    "IsInMetricTest": "is_in",
    "NotInMetricTest": "not_in",
}
_OF_ROWS = ("RowCount", "SumValue", "DuplicatedRowCount", "EmptyRowsCount")
"""Metrics whose one value grows with the number of rows."""
_METHODS = ("ValueDrift",)
"""Metrics of one column for which Evidently chooses the method."""
COLUMNS = "columns"
_DRIFT_OF_ALL = ("DataDriftPreset", "DriftedColumnsCount")
"""What Evidently refuses as a whole when one of all columns has no value."""


class Evidently:
    """Evidently with a pair of frames; importing it takes seconds."""

    def __init__(self, rows: Rows) -> None:
        # No message about this run may leave the machine.
        os.environ["DO_NOT_TRACK"] = "1"
        with _quietly():
            self._package = importlib.import_module("evidently")
            self._report = importlib.import_module("evidently.core.report")
            self._container = importlib.import_module("evidently.core.container").MetricContainer
            self._types = importlib.import_module("evidently.core.metric_types")
            self._tests = importlib.import_module("evidently.tests")
            self._presets = importlib.import_module("evidently.presets")
            self._metrics = importlib.import_module("evidently.metrics")
            self._rows = rows
            definition = self._definition(rows)
            frames = [rows.window, rows.reference]
            self._data = [
                None if frame is None else self._package.Dataset.from_pandas(frame, data_definition=definition)
                for frame in frames
            ]
        self._contexts: dict[bool, Any] = {}

    def run(self, entry: SuiteEntry) -> Iterator[Measured]:
        """The results of an entry's metrics; what cannot be made or unfolded raises."""
        with _quietly():
            # Some of Evidently's tests draw permutations: an evaluation that is made again must say the same.
            np.random.seed(0)  # noqa: NPY002 - it is Evidently that draws
            item = self._made(entry)
            leaves = list(self._leaves(item, entry.default_tests)) if isinstance(item, self._container) else [item]
            known: list[Measured] = []
            for leaf in leaves:
                blank = _blank(leaf)
                # A summary asks for the number of rows once for all, and once more for each column.
                if blank not in known:
                    known.append(blank)
                    yield self._measured(leaf, blank, entry)

    def _made(self, entry: SuiteEntry) -> Any:
        parameters = {
            name: self._given_tests(value) if name.endswith("tests") else value
            for name, value in entry.parameters.items()
        }
        if entry.name in _DRIFT_OF_ALL and self._rows.empty and COLUMNS not in parameters:
            parameters[COLUMNS] = [name for name in self._rows.roles if name not in self._rows.empty]
        return getattr(self._presets if entry.is_preset else self._metrics, entry.name)(**parameters)

    def _given_tests(self, value: Mapping[str, Any]) -> Any:
        if set(value) <= set(PHRASES):
            return [getattr(self._tests, name)(self._limit(limit)) for name, limit in value.items()]
        return {label: self._given_tests(tests) for label, tests in value.items()}

    def _limit(self, limit: Any) -> Any:
        return self._tests.Reference(**limit["reference"]) if isinstance(limit, Mapping) else limit

    def _leaves(self, container: Any, default_tests: bool) -> Iterator[Any]:
        for item in container.metrics(self._context(default_tests)):
            if isinstance(item, self._container):
                yield from self._leaves(item, default_tests)
            else:
                yield item

    def _context(self, default_tests: bool) -> Any:
        """What Evidently keeps between the metrics of a report: they share what several of them need."""
        found = self._contexts.get(default_tests)
        if found is None:
            report = self._package.Report([], include_tests=default_tests)
            found = self._contexts[default_tests] = self._report.Context(report)
            found.init_dataset(*self._data)
        return found

    def _measured(self, leaf: Any, blank: Measured, entry: SuiteEntry) -> Measured:
        try:
            context = self._context(entry.default_tests)
            calculation = leaf.to_calculation()
            result = context.calculate_metric(calculation)
            values, undecided = self._values(result, self._reference_result(context, calculation.id), entry)
        except (Exception, self._report.ReferenceMetricNotFound) as error:  # noqa: BLE001 - one metric is one finding
            # Evidently has left this context in the middle of the metric.
            self._contexts.pop(entry.default_tests, None)
            return replace(blank, error=_reason(error))
        method = result.metric_value_location.metric.params.get("method") if blank.metric in _METHODS else None
        return replace(blank, values=values, undecided=undecided, how=method)

    def _reference_result(self, context: Any, metric: str) -> Any:
        try:
            return context.get_reference_metric_result(metric)
        except self._report.ReferenceMetricNotFound:
            return None

    def _values(self, result: Any, reference: Any, entry: SuiteEntry) -> tuple[list[Value], list[str]]:
        found = dict(self._places(result))
        before = {} if reference is None else dict(self._places(reference))
        tests: dict[tuple[str, ...], list[Tested]] = {}
        undecided = []
        for test in result.tests:
            place = self._place_of(test, found)
            if place is None:
                undecided.append(str(test.description))
            else:
                tested = self._tested(test, result, found[place], before.get(place))
                if not (entry.default_tests and tested.of_reference and _grows(test, place)):
                    tests.setdefault(place, []).append(tested)
        return [
            Value(place, value, before.get(place), tuple(tests.get(place, ()))) for place, value in found.items()
        ], undecided

    def _places(self, result: Any) -> Iterator[tuple[tuple[str, ...], float]]:
        """Each number in a result, under the words that tell it apart."""
        types = self._types
        if isinstance(result, types.SingleValue):
            yield (), float(result.value)
        elif isinstance(result, types.CountValue):
            yield ("count",), float(result.count.value)
            yield ("share",), float(result.share.value)
        elif isinstance(result, types.MeanStdValue):
            yield ("mean",), float(result.mean.value)
            yield ("std",), float(result.std.value)
        elif isinstance(result, types.ByLabelValue):
            for label in sorted(result.values, key=_text):
                yield (_text(label),), float(result.values[label].value)
        elif isinstance(result, types.ByLabelCountValue):
            for label in sorted(filter(_is_there, result.counts), key=_text):
                yield (_text(label), "count"), float(result.counts[label].value)
                yield (_text(label), "share"), float(result.shares[label].value)
        elif isinstance(result, types.DataframeValue):
            yield from _cells(result.value)
        else:
            raise TypeError(f"a result of {type(result).__name__} holds no number")

    def _place_of(self, test: Any, found: dict[tuple[str, ...], float]) -> tuple[str, ...] | None:
        bound, types = test.bound_test, self._types
        place: tuple[str, ...] = ()
        if isinstance(bound, types.CountBoundTest):
            place = ("count" if bound.is_count else "share",)
        elif isinstance(bound, types.MeanStdBoundTest):
            place = ("mean" if bound.is_mean else "std",)
        elif isinstance(bound, types.ByLabelBoundTest):
            place = (_text(bound.label),)
        elif isinstance(bound, types.ByLabelCountBoundTest):
            place = (_text(bound.label), bound.slot)
            # To Evidently a label that does not occur is one that occurs in no row.
            found.setdefault(place, 0.0)
        return place if place in found else None

    def _tested(self, test: Any, result: Any, value: float, reference: float | None) -> Tested:
        outcome = {"SUCCESS": Outcome.PASSED, "FAIL": Outcome.FAILED}.get(test.status.value, Outcome.UNDECIDED)
        made = test.bound_test.test
        name = _TESTS.get(type(made).__name__)
        if name is None:
            # The drift of one column has a test of its own, by the threshold of its method.
            parameters = result.metric_value_location.metric.params
            limit = parameters.get("threshold")
            said = f"without drift at {limit:g}"
            return Tested(outcome, None if limit is None else float(limit), said)
        if name in ("is_in", "not_in"):
            return Tested(outcome, None, f"{PHRASES[name]} {', '.join(map(str, made.values))}")
        limit = made.expected if name in ("eq", "not_eq") else made.threshold
        if not isinstance(limit, self._tests.Reference):
            return Tested(outcome, float(limit), f"{PHRASES[name]} {limit:g}")
        if reference is None:
            return Tested(outcome, None, f"{PHRASES[name]} the reference's value", of_reference=True)
        around = approximate(reference, limit.relative, limit.absolute, name, value)
        tolerance = abs(around - reference)
        said = f"{PHRASES[name]} the reference's {reference:g}"
        if tolerance > 1e-6 * max(1.0, abs(reference)):
            said += f" ± {tolerance:g}" if name in ("eq", "not_eq") else f", {around:g} with its tolerance"
        return Tested(outcome, around, said, of_reference=True)

    def _definition(self, rows: Rows) -> Any:
        given: dict[str, Any] = {}
        if rows.task == REGRESSION:
            given["regression"] = [self._package.Regression(target=LABEL_COLUMN, prediction=PREDICTION)]
        elif rows.task in (BINARY, MULTICLASS):
            predicted = PREDICTION if PREDICTION in rows.window else None
            if rows.task == MULTICLASS:
                task = self._package.MulticlassClassification(target=LABEL_COLUMN, prediction_labels=predicted)
            else:
                task = self._package.BinaryClassification(
                    target=LABEL_COLUMN,
                    prediction_labels=predicted,
                    prediction_probas=SCORE if SCORE in rows.window else None,
                    pos_label=rows.positive_label,
                )
            given["classification"] = [task]
        return self._package.DataDefinition(
            numerical_columns=list(rows.numeric), categorical_columns=list(rows.categorical), **given
        )


def _blank(leaf: Any) -> Measured:
    """What a metric is, before it is measured."""
    made = type(leaf)
    column = getattr(leaf, "column", None) or getattr(leaf, "column_name", None)
    fields = {name: getattr(leaf, name) for name in made.__fields__ if not name.endswith("tests")}
    parameters = {
        name: _text(value)
        for name, value in fields.items()
        if name not in ("type", "column", "column_name", COLUMNS) and value != made.__fields__[name].default
    }
    return Measured(made.__name__, made.__module__.rpartition(".")[2], column, parameters)


def _grows(test: Any, place: Sequence[str]) -> bool:
    """Whether the value grows with the rows, of which a window's sample and a reference never have equally many."""
    if "count" in place:
        return True
    return test.metric_config.params.get("type", "").rpartition(":")[2] in _OF_ROWS


def _cells(table: Any) -> Iterator[tuple[tuple[str, ...], float]]:
    """The numbers of a table of Evidently's: of a square one each pair once, else each row by its words."""
    numeric = table.select_dtypes(include=["number"]).columns.tolist()
    words = [name for name in table.columns if name not in numeric and table[name].nunique() > 1]
    if list(table.index) == numeric and len(numeric) == len(table.columns):
        for i, one in enumerate(numeric):
            for other in numeric[i + 1 :]:
                yield (str(one), str(other)), float(table.loc[one, other])
        return
    for _, row in table.iterrows():
        for column in numeric:
            yield (
                (*(str(row[name]) for name in words), *([str(column)] if len(numeric) > 1 else [])),
                float(row[column]),
            )


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        return _text(value.value)
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)


def _is_there(label: Any) -> bool:
    return label is not None and label == label


def _reason(error: BaseException) -> str:
    if not isinstance(error, Exception):
        return "Evidently gives no value of the reference that a test could compare with"
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


@contextmanager
def _quietly() -> Iterator[None]:
    """Evidently's own warnings, and NumPy's about its divisions, say nothing to whoever reads a log."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
