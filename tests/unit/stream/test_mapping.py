"""Which path of a message leads to which column."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.stream.errors import CorruptSpec, MappingError
from daemon.stream.mapping import Kind, column_path, label_plan, prediction_plan
from daemon.stream.spec import Fields, Spec, fields_of
from tests.unit.stream.world import layout, settings, spec


def fields(*features: str, prediction: str | None = "prediction", score: str | None = None) -> Fields:
    return Fields("id", "ts", "rfc3339", "v", prediction, score, features, None)


@pytest.mark.parametrize(
    ("features", "column", "path"),
    [
        (("features.*",), "delay", ("features", "delay")),
        (("features.*",), "weather.wind", ("features", "weather", "wind")),
        (("*",), "delay", ("delay",)),
        (("a.delay", "b.hour"), "delay", ("a", "delay")),
        (("a.delay", "features.*"), "delay", ("a", "delay")),
        (("a.delay", "features.*"), "hour", ("features", "hour")),
        (("features.*",), "prediction", ("prediction",)),
        (("features.*",), "features.prediction", ("features", "prediction")),
    ],
)
def test_a_column_is_found(features: tuple[str, ...], column: str, path: tuple[str, ...]) -> None:
    assert column_path(fields(*features), column) == path


def test_a_column_that_no_path_leads_to_is_an_error_with_its_name() -> None:
    with pytest.raises(MappingError, match="'hour'"):
        column_path(fields("a.delay"), "hour")
    with pytest.raises(MappingError, match=r"a\.\*, b\.\*"):
        column_path(fields("a.*", "b.*"), "hour")


def test_a_field_cannot_hold_another_one(tmp_path: Path) -> None:
    model = {"predictions": {"topic": ["t"], "fields": {"id": "features", "features": "features.*"}}}
    of = settings(tmp_path / "s.db", models={"m": model})
    with pytest.raises(MappingError, match=r"features cannot be a field and hold"):
        prediction_plan(of.models["m"], fields_of(of.models["m"]), [layout()])


def test_predictions_and_labels_are_fetched_by_the_columns_types(tmp_path: Path) -> None:
    model = {
        "predictions": {"topic": ["t"], "timestamp_unit": "ms", "where": {"a.b": "x", "header:h": "y"}},
        "labels": {"topic": ["l"]},
    }
    of = settings(tmp_path / "s.db", models={"m": model}).models["m"]
    plan = prediction_plan(of, fields_of(of), [layout()])
    assert {fetch.name: fetch.kind for fetch in plan.columns} == {
        "delay": Kind.NUMBER,
        "hour": Kind.NUMBER,
        "origin": Kind.SCALAR,
        "prediction": Kind.NUMBER,
    }
    assert plan.time is not None
    assert plan.time.kind is Kind.NUMBER_TIME
    assert plan.where == ((("a", "b"), "x"),)
    assert of.labels is not None
    assert [fetch.path for fetch in label_plan(of.labels).columns] == [("label",)]


def test_a_spec_keeps_its_hash_through_the_store_and_changes_it_with_its_content(tmp_path: Path) -> None:
    of = settings(tmp_path / "s.db")
    one = spec(of)
    assert Spec.from_bytes(one.to_bytes()).hash == one.hash
    assert spec(of, segment_by=(("origin",),)).hash != one.hash
    with pytest.raises(CorruptSpec):
        Spec.from_bytes(b"\x01nonsense")
    with pytest.raises(CorruptSpec, match="upgrade"):
        Spec.from_bytes(b"\x09")
