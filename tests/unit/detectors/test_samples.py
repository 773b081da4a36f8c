"""A sample is the rows of lowest hash, the same whatever way they came, with their values as they were."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import CorruptBlob
from detectors.rows import Encoder, Rows
from detectors.sample import Sample
from tests.unit.detectors.columnar import encoded, mixed_frame, mixed_layout

LAYOUT = mixed_layout()


def strange_frame(rows: int, seed: int = 0) -> pd.DataFrame:
    """Rows with unseen texts among the categories."""
    frame = mixed_frame(rows, seed)
    strange = np.random.default_rng(seed).random(rows) < 0.3
    frame.loc[strange, "kind"] = [f"new {i}" for i in range(int(strange.sum()))]
    return frame


def sample_of(
    frame: pd.DataFrame, *, k: int = 50, first: int = 0, topic: str = "t", below: int | None = None
) -> Sample:
    """The sample of a frame's rows, numbered from `first`."""
    encoder = Encoder(LAYOUT)
    return Sample.of(LAYOUT, encoded(frame, encoder, first=first, topic=topic), encoder, k=k, below=below)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(1, 80), st.integers(0, 5))
def test_merging_gives_equal_bytes_in_any_order(sizes: list[int], k: int, seed: int) -> None:
    parts, first = [], 0
    for place, size in enumerate(sizes):
        parts.append(sample_of(strange_frame(size, place), k=k, first=first, topic="tu"[place % 2]))
        first += size
    expected = Sample.merge(parts, k).to_bytes()
    shuffled = list(parts)
    random.Random(seed).shuffle(shuffled)
    while len(shuffled) > 1:
        shuffled.append(Sample.merge([Sample.from_bytes(LAYOUT, shuffled.pop(0).to_bytes()), shuffled.pop(0)], k))
    assert Sample.merge(shuffled, k).to_bytes() == expected


def test_the_rows_of_lowest_hash_are_kept() -> None:
    encoder = Encoder(LAYOUT)
    rows = encoded(strange_frame(400), encoder)
    sample = Sample.of(LAYOUT, rows, encoder, k=50)
    assert sample.identity.tolist() == sorted(rows.identity.tolist())[:50]
    assert sample.kth_hash == sample.identity[-1]
    assert len(sample) == 50


def test_a_sample_with_room_has_no_threshold() -> None:
    assert sample_of(strange_frame(10)).kth_hash is None


def test_rows_above_the_remembered_threshold_change_nothing() -> None:
    """Given a pane's k-th hash, When later rows are sampled only below it, Then the merged sample is the same."""
    before, frame = sample_of(strange_frame(400)), strange_frame(300, seed=1)
    everything = sample_of(frame, first=400)
    filtered = sample_of(frame, first=400, below=before.kth_hash)
    assert len(filtered) < len(everything)
    assert Sample.merge([before, filtered], 50).to_bytes() == Sample.merge([before, everything], 50).to_bytes()


def test_equal_hashes_are_decided_by_topic_partition_and_offset() -> None:
    encoder = Encoder(LAYOUT)
    rows = encoded(strange_frame(6), encoder)
    same = Rows(
        np.full(6, 7, dtype=np.uint64),
        rows.ids,
        rows.event_time,
        "t",
        np.array([1, 0, 1, 0, 1, 0], dtype=np.int32),
        rows.offset,
        rows.values,
        {},
    )
    assert Sample.of(LAYOUT, same, encoder, k=4).offset.tolist() == [1, 3, 5, 0]
    assert len(Sample.of(LAYOUT, same, encoder, k=4, below=7)) == 4


def test_a_frame_holds_the_rows_as_they_came() -> None:
    frame = strange_frame(40)
    back = sample_of(frame).to_frame().sort_values("_offset", ignore_index=True)
    assert back["_id"].tolist() == [f"p{i}" for i in range(40)]
    assert back["_event_time"].tolist() == list(range(40))
    assert set(back["_topic"]) == {"t"}
    for name in ("heavy", "normal", "whole", "constant"):
        assert np.array_equal(back[name], frame[name], equal_nan=True)
    assert (
        back["kind"].where(back["kind"].notna(), None).tolist()
        == frame["kind"].where(frame["kind"].notna(), None).tolist()
    )
    assert back["flag"].tolist() == ["true" if flag else "false" for flag in frame["flag"]]


def test_no_rows_make_a_sample_of_none() -> None:
    empty = sample_of(strange_frame(0))
    again = Sample.from_bytes(LAYOUT, empty.to_bytes())
    assert len(again) == len(again.to_frame()) == 0
    assert again.kth_hash is None
    one = sample_of(strange_frame(1))
    assert Sample.merge([again, one], 50).to_bytes() == one.to_bytes()


@pytest.mark.parametrize("data", [b"", b"S\x02", b"P\x01abc", sample_of(strange_frame(9)).to_bytes()[:-5]])
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptBlob):
        Sample.from_bytes(LAYOUT, data)
