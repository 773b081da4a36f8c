"""Column types are inferred, with their reason; what cannot be used is refused in words."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from detectors.columns import ColumnType, Role, canonical_frame, infer_columns
from detectors.errors import EmptyReference, MissingColumn, UnusableColumn

NOW = datetime.datetime(2013, 2, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2, 3], ColumnType.NUMERIC),
        ([1.5, None, 3], ColumnType.NUMERIC),
        (pd.array([1, None, 3], dtype="Int64"), ColumnType.NUMERIC),
        (pd.Series([Decimal("1.5"), None, 2], dtype=object), ColumnType.NUMERIC),
        ([True, False, True], ColumnType.BOOLEAN),
        (pd.Series([True, None, False], dtype=object), ColumnType.BOOLEAN),
        (["a", None, "b"], ColumnType.CATEGORICAL),
        (["1", "2", "2"], ColumnType.CATEGORICAL),
        (pd.Series([1, "a", True], dtype=object), ColumnType.CATEGORICAL),
        (pd.Categorical([1, 2, 1]), ColumnType.CATEGORICAL),
        ([NOW, NOW, NOW], ColumnType.CATEGORICAL),
    ],
)
def test_a_type_is_inferred_and_its_reason_said(values: object, kind: ColumnType) -> None:
    (column,) = infer_columns(pd.DataFrame({"x": values}), roles={}, declared={}, exclude=())
    assert column.type is kind
    assert column.reason


def test_a_declared_type_wins() -> None:
    frame = pd.DataFrame({"month": [1, 2, 3]})
    (column,) = infer_columns(frame, roles={}, declared={"month": ColumnType.CATEGORICAL}, exclude=())
    assert column.type is ColumnType.CATEGORICAL
    assert "declared" in column.reason


@pytest.mark.parametrize(
    "values",
    [[f"user {i}" for i in range(100)], [[i] for i in range(100)], [None] * 100],
    ids=["as many texts as rows", "lists", "nothing"],
)
def test_a_column_that_names_rows_or_holds_nothing_comparable_gets_no_drift_test(values: list[object]) -> None:
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    (column,) = infer_columns(frame, roles={}, declared={}, exclude=())
    assert column.id_like


def test_a_prediction_is_never_taken_for_an_id() -> None:
    frame = pd.DataFrame({"prediction": [f"class {i}" for i in range(100)]})
    (column,) = infer_columns(frame, roles={"prediction": Role.PREDICTION}, declared={}, exclude=())
    assert not column.id_like


def test_prediction_and_score_get_their_names_and_a_feature_that_clashes_another() -> None:
    frame = pd.DataFrame({"yhat": [1.0], "p": [0.5], "score": [7.0]})
    renamed, roles = canonical_frame(frame, prediction="yhat", score="p")
    assert list(renamed.columns) == ["prediction", "score", "features.score"]
    assert roles == {"prediction": Role.PREDICTION, "score": Role.SCORE}
    assert list(frame.columns) == ["yhat", "p", "score"]


def test_a_reference_without_rows_is_refused() -> None:
    with pytest.raises(EmptyReference, match="no rows"):
        infer_columns(pd.DataFrame({"x": []}), roles={}, declared={}, exclude=())


def test_a_missing_prediction_is_refused_with_the_columns_that_are_there() -> None:
    with pytest.raises(MissingColumn, match=r"'yhat'.*'x'.*reference\.fields\.prediction"):
        canonical_frame(pd.DataFrame({"x": [1]}), prediction="yhat")


def test_a_prediction_without_a_value_is_refused() -> None:
    frame = pd.DataFrame({"prediction": [np.nan, np.nan]})
    with pytest.raises(UnusableColumn, match="nothing but missing"):
        infer_columns(frame, roles={"prediction": Role.PREDICTION}, declared={}, exclude=())


def test_a_column_declared_numeric_without_a_number_is_refused() -> None:
    with pytest.raises(UnusableColumn, match="holds no number"):
        infer_columns(pd.DataFrame({"x": ["a"]}), roles={}, declared={"x": ColumnType.NUMERIC}, exclude=())
