"""Rows that are collected for a reference: which are kept, how they merge, and what frame they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.collected import ID, LABEL, SCORES, TIME, CollectedRows, cell
from detectors.collected_frame import collected_frame
from detectors.errors import CorruptBlob
from detectors.rows import Rows, hash_ids


def rows(ids: list[str], *, topic: str = "t", partition: int = 0, first: int = 0) -> Rows:
    n = len(ids)
    texts = np.empty(n, dtype=object)
    texts[:] = ids
    return Rows(
        identity=hash_ids(ids),
        ids=texts,
        event_time=np.arange(first, first + n, dtype=np.int64),
        topic=topic,
        partition=np.full(n, partition, dtype=np.int32),
        offset=np.arange(first, first + n, dtype=np.int64),
        values={},
        mistyped={},
    )


def collected(ids: list[str], cells: list[dict[str, Any]] | None = None, k: int = 2_000, **more: Any) -> CollectedRows:
    made = [{"id": one} for one in ids] if cells is None else cells
    return CollectedRows.of(rows(ids, **more), made.__getitem__, k=k)


@given(st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=5), st.integers(1, 8))
def test_the_lowest_rows_are_the_same_however_they_came(parts: list[list[int]], k: int) -> None:
    texts = [[str(number) for number in part] for part in parts]
    starts = np.cumsum([0, *map(len, texts)]).tolist()
    whole = collected([text for part in texts for text in part], k=k)
    pieces = [collected(part, k=k, first=start) for part, start in zip(texts, starts, strict=False)]
    assert CollectedRows.merge(pieces, k).to_bytes() == whole.to_bytes()
    assert CollectedRows.merge([CollectedRows.merge(pieces[:2], k), *pieces[2:]], k).to_bytes() == whole.to_bytes()
    assert CollectedRows.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()


def test_only_rows_that_are_kept_are_read() -> None:
    asked: list[int] = []

    def read(place: int) -> dict[str, Any]:
        asked.append(place)
        return {}

    kept = CollectedRows.of(rows([str(i) for i in range(100)]), read, k=3)
    assert (len(kept), len(asked)) == (3, 3)
    again = CollectedRows.of(rows([str(i) for i in range(100)]), read, k=3, below=kept.kth_hash)
    assert again.to_bytes() == kept.to_bytes()


@pytest.mark.parametrize(
    ("value", "kept"),
    [("x" * 80, 64), (10**30, 1e30), (-(10**400), float("-inf")), ([{"a": 1}, 2], [2]), ({}, []), (None, None)],
)
def test_what_is_kept_of_a_value_is_bounded(value: Any, kept: Any) -> None:
    found = cell(value)
    assert (len(found) if isinstance(found, str) else found) == kept


def test_damaged_bytes_are_said_to_be_damaged() -> None:
    with pytest.raises(CorruptBlob):
        CollectedRows.from_bytes(collected(["a"]).to_bytes()[:-3])
    with pytest.raises(CorruptBlob):
        CollectedRows.from_bytes(b"S\x01")


def test_the_frame_is_in_order_of_time_with_each_columns_own_kind() -> None:
    cells = [{"n": float(i), "ok": i % 2 == 0, "word": "a", "tags": ["x"], SCORES: {"a": 1.0}} for i in range(40)]
    del cells[3]["n"]
    cells[4]["n"] = "many"
    frame = collected_frame(
        [
            collected([str(i) for i in range(20)], cells[:20]),
            collected([str(i) for i in range(20, 40)], cells[20:], first=20),
        ]
    )
    assert frame[TIME].tolist() == list(range(40))
    # a stray text among numbers is left out like a missing value
    assert frame["n"].isna().to_numpy().nonzero()[0].tolist() == [3, 4]
    assert {type(value) for value in frame["n"].dropna()} == {float}
    assert frame["ok"].tolist() == [i % 2 == 0 for i in range(40)]
    assert frame["tags"].tolist() == [["x"]] * 40
    assert frame[SCORES].tolist() == ['{"a":1.0}'] * 40


def test_a_column_of_mixed_kinds_stays_mixed() -> None:
    cells = [{"n": i if i % 3 else "none"} for i in range(30)]
    frame = collected_frame([collected([str(i) for i in range(30)], cells)])
    assert {type(value) for value in frame["n"]} == {int, str}


def test_of_a_value_and_an_object_in_its_place_the_commoner_stays() -> None:
    cells: list[dict[str, Any]] = [{"a": 1.0}] * 5 + [{"a.b": 2.0}]
    frame = collected_frame([collected([str(i) for i in range(6)], cells)])
    assert set(frame.columns) == {TIME, ID, "a"}
    frame = collected_frame([collected([str(i) for i in range(6)], [{"a": 1.0}] + [{"a.b": 2.0}] * 5)])
    assert set(frame.columns) == {TIME, ID, "a.b"}


def test_labels_go_with_their_rows() -> None:
    one = collected(["a", "b", "c"])
    by_id = {"a": 1.0, "b": None, "c": 3.0}
    frame = collected_frame([one], [[by_id[name] for name in one.ids]])
    found = dict(zip(frame["id"], frame[LABEL], strict=True))
    assert found["a"] == 1.0
    assert np.isnan(found["b"])
    assert frame[LABEL].dtype == np.float64
