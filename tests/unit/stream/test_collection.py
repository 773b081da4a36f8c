"""What is taken out of messages for a reference, and which rows come too late for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.stream.collection import NO_LAYOUT, Closing, Reading, collecting_spec
from daemon.stream.spec import Fields, Spec
from detectors.instants import DAY, HOUR, MINUTE
from tests.unit.stream.world import settings

CLOSING = Closing(DAY, HOUR, 10 * MINUTE, None)


def fields(**changes: Any) -> Fields:
    given = {
        "id": "id",
        "timestamp": "ts",
        "timestamp_unit": "rfc3339",
        "version": "model_version",
        "prediction": "prediction",
        "score": None,
        "features": ("features.*",),
        "item": None,
    }
    return Fields(**given | changes)


MESSAGE = {
    "id": "a",
    "ts": "2013-02-01T00:00:00Z",
    "model_version": "7",
    "features": {"x": 1, "deep": {"y": "b", "": 0}, "prediction": 3, "gone": None, 'quo"te': 1, "a.b": 2},
    "prediction": 0.5,
    "shares": {"a": 0.5},
}


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        ({}, {"x": 1, "deep.y": "b", "prediction": 3, "_prediction": 0.5}),
        ({"features": ("features.x", "features.deep.y")}, {"x": 1, "y": "b", "_prediction": 0.5}),
        ({"features": ("features.x", "other.x")}, {"features.x": 1, "_prediction": 0.5}),
        (
            {"features": ("features.deep.*",), "scores": "shares", "score": "features.x"},
            {"y": "b", "_prediction": 0.5, "_score": 1, "_scores": {"a": 0.5}},
        ),
        (
            {"features": ("*",), "prediction": "features.prediction"},
            {"features.x": 1, "features.deep.y": "b", "_prediction": 3, "prediction": 0.5, "shares.a": 0.5},
        ),
    ],
)
def test_columns_go_by_the_names_that_a_references_columns_go_by(
    changes: dict[str, Any], columns: dict[str, Any]
) -> None:
    assert Reading(fields(**changes))(MESSAGE) == columns


def test_a_message_without_features_has_none() -> None:
    assert Reading(fields())({"id": "a", "features": 7}) == {}


def test_the_collecting_spec_survives_the_store(tmp_path: Any) -> None:
    model = settings(tmp_path / "store.db").models["m"]
    spec_hash, body = collecting_spec("m", model)
    spec = Spec.from_bytes(body)
    assert (spec.hash, spec.collects, spec.layout.hash) == (spec_hash, True, NO_LAYOUT.hash)


def test_a_row_is_late_once_its_partition_has_shown_what_closes_its_window() -> None:
    times = np.array([10 * HOUR, DAY + HOUR - 1, 23 * HOUR, DAY + HOUR, 23 * HOUR, DAY + 2 * HOUR], dtype=np.int64)
    assert CLOSING.late(times, None).tolist() == [False, False, False, False, True, False]
    # rows of the panes that are counted by the reference's own layout obey the window's lateness alone
    judged = Closing(DAY, HOUR, 10 * MINUTE, until=20 * HOUR)
    assert judged.late(times, None).tolist() == [False] * 6


@given(st.lists(st.integers(0, 4 * DAY), max_size=30), st.integers(0, 30), st.integers(0, 4 * DAY))
def test_where_batches_end_changes_nothing(times: list[int], cut: int, before: int) -> None:
    whole = np.array(times, dtype=np.int64)
    first, second = whole[:cut], whole[cut:]
    highest = max([before, *first.tolist()])
    parts = [CLOSING.late(first, before), CLOSING.late(second, highest)]
    assert np.concatenate(parts).tolist() == CLOSING.late(whole, before).tolist()
