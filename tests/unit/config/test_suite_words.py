"""What a suite may name is what the installed Evidently has."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

from daemon.config import suite_words as words
from detectors.suite.measured import PHRASES

NEVER_GIVEN = frozenset(
    {"type", "include_tests", "classification_name", "regression_name", "column_tests"}
    # The sample holds neither texts of their own nor embeddings.
    | {"embeddings", "embeddings_drift_method", "text_method", "text_threshold"}
    # These only draw, and nothing is drawn.
    | {"conf_matrix", "pr_curve", "pr_table", "roc_curve", "pred_actual_plot", "error_plot", "error_distr"}
    | {"error_normality", "perc_error_plot", "nbinsx"}
)
TABLES = frozenset({"CorrelationMatrix", "ColumnCorrelationMatrix"})
"""Evidently tests the first row of a table, whatever that is."""


def module(name: str) -> Any:
    return importlib.import_module(f"evidently.{name}")


def test_every_preset_and_metric_is_offered_or_refused() -> None:
    presets, metrics = set(module("presets").__all__), set(module("metrics").__all__)
    refused = set(words.NOT_OFFERED)
    assert set(words.PRESETS) == presets - refused
    assert set(words.METRICS) == metrics - refused
    assert refused <= presets | metrics


@pytest.mark.parametrize(
    ("kind", "name"), [("presets", n) for n in words.PRESETS] + [("metrics", n) for n in words.METRICS]
)
def test_parameters(kind: str, name: str) -> None:
    made = getattr(module(kind), name)
    fields = made.__fields__
    signature = list(inspect.signature(made.__init__).parameters.values())[1:]
    # A constructor that takes anything takes its class's fields.
    own = [] if any(p.kind is p.VAR_KEYWORD for p in signature) else signature
    given = {p.name for p in own} or set(fields)
    expected = given - NEVER_GIVEN - ({"tests"} if name in TABLES else set())
    assert set({**words.PRESETS, **words.METRICS}[name]) == expected
    required = {p.name for p in own if p.default is p.empty} or {
        field.name for field in fields.values() if field.required and not field.name.endswith("tests") and not own
    }
    assert set(words.REQUIRED.get(name, ())) == required
    by_label = {n for n in expected if n.endswith("tests") and "Dict" in str(fields[n].outer_type_)}
    assert set(words.BY_LABEL.get(name, ())) == by_label


def test_what_needs_labels_is_what_evidently_keeps_in_those_modules() -> None:
    for of, about in ((words.OF_CLASSES, "classification"), (words.OF_ERRORS, "regression")):
        names = {
            name
            for kind, table in (("presets", words.PRESETS), ("metrics", words.METRICS))
            for name in table
            if getattr(module(kind), name).__module__.endswith(f".{about}")
        }
        assert of == names


def test_tests() -> None:
    assert set(words.TESTS) == set(module("tests").__all__) - {"Reference"} == set(PHRASES)
    assert set(words.AROUND) == set(module("tests").Reference.__fields__)
