"""A profile counts every row once, and merging changes nothing, whatever the order and the grouping."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.columns import infer_columns
from detectors.errors import CorruptBlob
from detectors.layout import CategoricalLayout, Layout, NumericLayout, build_layout
from detectors.profile import CHUNK, UNSEEN_KEPT, Profile
from detectors.rows import Encoder, Rows
from tests.unit.detectors.columnar import encoded, mixed_frame, mixed_layout

LAYOUT = mixed_layout()

numbers = st.none() | st.floats(width=32) | st.sampled_from([np.inf, -np.inf, 0.0, 1e300, -1e300])
texts = st.none() | st.sampled_from(["a", "b", "z", "y", "x" * 100]) | st.text(max_size=3)
row = st.tuples(numbers, numbers, st.none() | st.integers(0, 30), texts, st.none() | st.booleans(), numbers)
frames = st.lists(row, max_size=40).map(lambda rows: pd.DataFrame(rows, columns=list(mixed_frame(1)), dtype=object))


def profile_of(frame: pd.DataFrame, layout: Layout = LAYOUT) -> Profile:
    """The profile of a frame's rows."""
    encoder = Encoder(layout)
    return Profile.of(layout, encoded(frame, encoder), encoder)


def exact_part(profile: Profile) -> list[object]:
    """Everything that must be equal to the bit."""
    return [
        profile.rows,
        profile.cells.index.tolist(),
        profile.cells.count.tolist(),
        profile.segment_cells.index.tolist(),
        profile.segment_cells.count.tolist(),
        profile.moments[4:].tolist(),
        {column: list(kept.items()) for column, kept in profile.strangers.items() if kept},
    ]


def assert_equal(one: Profile, two: Profile, frame: pd.DataFrame) -> None:
    """Equal counts, and sums within 1e-9 of the sum of absolute values."""
    assert exact_part(one) == exact_part(two)
    for column in one.layout.numeric:
        values = frame[column.name].astype(np.float64).to_numpy()
        values = values[np.isfinite(values)] - column.centre
        with np.errstate(over="ignore"):
            sizes = [np.abs(values).sum(), (values**2).sum(), np.abs(values).sum(), np.abs(values).sum()]
        for found, expected, size in zip(
            one.moments[:4, column.index], two.moments[:4, column.index], sizes, strict=True
        ):
            assert found == expected or abs(found - expected) <= 1e-9 * size


@settings(max_examples=40, deadline=None)
@given(st.lists(frames, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_merging_obeys_the_law(parts: list[pd.DataFrame], random: np.random.Generator) -> None:
    """Given rows in any parts, When they are merged in any order and grouping, Then all is as if counted at once."""
    whole = pd.concat(parts, ignore_index=True)
    profiles = [profile_of(part) for part in parts]
    expected = profile_of(whole)
    assert_equal(Profile.merge(profiles), expected, whole)
    shuffled = list(profiles)
    random.shuffle(shuffled)
    while len(shuffled) > 1:
        shuffled.append(Profile.merge([shuffled.pop(0), Profile.from_bytes(LAYOUT, shuffled.pop(0).to_bytes())]))
    assert_equal(shuffled[0], expected, whole)


@settings(max_examples=40, deadline=None)
@given(frames)
def test_a_profile_survives_its_bytes(frame: pd.DataFrame) -> None:
    profile = profile_of(frame)
    again = Profile.from_bytes(LAYOUT, profile.to_bytes())
    assert exact_part(again) == exact_part(profile)
    assert np.array_equal(again.moments, profile.moments, equal_nan=True)
    assert again.to_bytes() == profile.to_bytes() == profile_of(frame).to_bytes()


@settings(max_examples=30, deadline=None)
@given(frames)
def test_counts_are_those_of_a_plain_recount(frame: pd.DataFrame) -> None:
    profile = profile_of(frame)
    assert profile.rows == len(frame)
    for column in LAYOUT.columns:
        series = frame[column.name]
        counts = profile.counts(column.name)
        if isinstance(column, NumericLayout):
            values = series.astype(np.float64).to_numpy()
            finite = values[np.isfinite(values)]
            cells = np.searchsorted(column.edges, finite, side="right")
            assert counts.tolist() == np.bincount(cells, minlength=column.body).tolist()
            assert profile.non_finite(column.name) == np.isinf(values).sum()
            assert profile.missing(column.name) == np.isnan(values).sum()
            assert profile.present(column.name) == len(finite)
            if len(finite):
                assert (profile.minimum(column.name), profile.maximum(column.name)) == (finite.min(), finite.max())
        else:
            assert isinstance(column, CategoricalLayout)
            expected = series.dropna().map(lambda value: str(value).lower() if isinstance(value, bool) else value)
            for code, text in enumerate(column.vocabulary):
                assert counts[code] == (expected == text).sum()
            assert counts.sum() == len(expected)
            assert profile.missing(column.name) == series.isna().sum()


def rows_of(profile: Profile, segment: tuple[int, int]) -> int:
    """Rows of one segment: in a category's column each has a value or none."""
    return int(profile.counts("kind", segment).sum()) + profile.missing("kind", segment)


def test_segments_hold_the_same_cells_coarser() -> None:
    frame = mixed_frame(700, seed=5)
    profile = profile_of(frame)
    kinds, crossed = LAYOUT.segmentations
    for index in range(kinds.size):
        label = kinds.label(index)["kind"]
        part = frame[frame["kind"].isna()] if label == "(missing)" else frame[frame["kind"] == label]
        assert rows_of(profile, (0, index)) == len(part)
        own = profile_of(part)
        for column in LAYOUT.columns:
            assert profile.counts(column.name, (0, index)).tolist() == own.counts(column.name, coarse=True).tolist()
            assert profile.missing(column.name, (0, index)) == own.missing(column.name)
    assert sum(rows_of(profile, (1, i)) for i in range(crossed.size)) == len(frame)
    assert profile.segments() == [key for key in profile.segments() if rows_of(profile, key)]


def test_a_crossed_segment_holds_the_rows_with_both_values() -> None:
    frame = mixed_frame(700, seed=6)
    profile = profile_of(frame)
    label = LAYOUT.segmentations[1].label(0)
    both = (frame["flag"].map({True: "true", False: "false"}) == label["flag"]) & (
        frame["whole"] == float(label["whole"])
    )
    assert rows_of(profile, (1, 0)) == both.sum()


def test_means_variances_and_tails_are_exact() -> None:
    frame = mixed_frame(500, seed=7)
    frame.loc[0, "heavy"] = 1e6
    profile = profile_of(frame)
    for name in ("heavy", "normal", "whole"):
        assert profile.mean(name) == pytest.approx(frame[name].mean(), rel=1e-12)
        assert profile.variance(name) == pytest.approx(frame[name].var(ddof=0), rel=1e-9)
    column = LAYOUT.column("heavy")
    assert isinstance(column, NumericLayout)
    above = frame["heavy"][frame["heavy"] >= column.edges[-1]]
    assert profile.counts("heavy")[-1] == len(above) > 0
    assert profile.positions("heavy")[-1] == pytest.approx(above.mean())


def test_mistyped_values_are_counted_apart_from_missing_ones() -> None:
    encoder = Encoder(LAYOUT)
    frame = mixed_frame(20, seed=8)
    frame.loc[:3, ["normal", "kind"]] = None
    rows = encoded(frame, encoder)
    mask = np.arange(20) < 3
    wrong = Rows(
        rows.identity,
        rows.ids,
        rows.event_time,
        rows.topic,
        rows.partition,
        rows.offset,
        rows.values,
        {"normal": mask, "kind": mask},
    )
    profile, plain = Profile.of(LAYOUT, wrong, encoder), Profile.of(LAYOUT, rows, encoder)
    for name in ("normal", "kind"):
        assert profile.mistyped(name) == 3
        assert profile.missing(name) == plain.missing(name) - 3
        segments = [key for key in profile.segments() if key[0] == 0]
        assert sum(profile.mistyped(name, key) for key in segments) == 3
        assert sum(profile.missing(name, key) for key in segments) == plain.missing(name) - 3


def test_unseen_values_are_kept_by_lowest_hash_with_exact_counts() -> None:
    texts = [f"new {i}" for i in range(300)]
    frame = mixed_frame(900, seed=9)
    frame["kind"] = pd.Series(texts * 3, dtype=object)
    whole = profile_of(frame)
    parts = [profile_of(frame.iloc[at : at + 100]) for at in range(0, 900, 100)]
    unseen = Profile.merge(parts).unseen("kind")
    assert unseen == whole.unseen("kind")
    assert unseen.total == 900
    assert len(unseen.kept) == UNSEEN_KEPT
    assert set(unseen.kept.values()) == {3}
    assert unseen.others == 900 - 3 * UNSEEN_KEPT


def test_values_beyond_the_vocabulary_that_the_reference_had_are_rest() -> None:
    frame = pd.DataFrame({"x": pd.Series(["a"] * 5 + ["b"] * 3 + ["c", "d"], dtype=object)})
    columns = infer_columns(frame, roles={}, declared={}, exclude=())
    layout = build_layout(frame, columns, segment_by=[("x",)], vocabulary_limit=2)
    profile = profile_of(pd.DataFrame({"x": ["c", "d", "d", "z", "a"]}), layout)
    assert profile.counts("x").tolist() == [1, 0, 3, 1]
    assert profile.unseen("x").kept == {"z": 1}


def test_the_input_is_not_changed() -> None:
    encoder = Encoder(LAYOUT)
    rows = encoded(mixed_frame(300, seed=1), encoder)
    before = copy.deepcopy({name: array.copy() for name, array in rows.values.items()})
    profile = Profile.of(LAYOUT, rows, encoder)
    data = profile.to_bytes()
    Profile.merge([profile, profile])
    profile.counts("normal")[:] = -1
    assert profile.to_bytes() == data
    for name, array in before.items():
        assert np.array_equal(rows.values[name], array, equal_nan=True)


def test_many_rows_are_counted_in_chunks_as_if_at_once() -> None:
    frame = mixed_frame(CHUNK + 500, seed=2)
    halves = Profile.merge([profile_of(frame.iloc[: CHUNK // 2]), profile_of(frame.iloc[CHUNK // 2 :])])
    assert_equal(profile_of(frame), halves, frame)


@pytest.mark.parametrize(
    "frame",
    [
        mixed_frame(0),
        mixed_frame(1),
        mixed_frame(3).assign(heavy=np.nan, normal=np.inf, kind=None),
        mixed_frame(3).assign(heavy=np.finfo(np.float64).max, normal=-np.finfo(np.float64).max),
    ],
    ids=["no row", "one row", "missing and infinite", "largest floats"],
)
def test_strange_chunks_are_counted(frame: pd.DataFrame) -> None:
    profile = profile_of(frame)
    assert profile.rows == len(frame)
    merged = Profile.merge([profile, Profile.empty(LAYOUT), profile])
    assert merged.rows == 2 * len(frame)
    assert exact_part(Profile.from_bytes(LAYOUT, merged.to_bytes())) == exact_part(merged)
    assert isinstance(merged.mean("normal"), float)
    assert isinstance(merged.variance("normal"), float)


def test_a_partial_is_no_larger_than_its_rows() -> None:
    """One row costs what one row holds; 500 rows cost a few bytes each."""
    assert len(profile_of(mixed_frame(1, seed=3)).to_bytes()) < 200
    assert len(profile_of(mixed_frame(500, seed=3)).to_bytes()) < 500 * 16


@pytest.mark.parametrize("data", [b"", b"P\x01", b"P\x09abc", b"S\x01", profile_of(mixed_frame(9)).to_bytes()[:-5]])
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptBlob):
        Profile.from_bytes(LAYOUT, data)


def test_profiles_of_different_layouts_do_not_merge() -> None:
    other = mixed_layout(segment_by=())
    with pytest.raises(ValueError, match="different layouts"):
        Profile.merge([profile_of(mixed_frame(3)), profile_of(mixed_frame(3), other)])
