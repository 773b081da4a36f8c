"""A layout is a pure function of the reference, fine where values are and safe where they are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from detectors.columns import Column, ColumnType, Role, infer_columns
from detectors.distances import coarse_positions, wasserstein
from detectors.errors import CorruptBlob, MissingColumn
from detectors.layout import BOOLEANS, CategoricalLayout, Layout, NumericLayout, build_layout
from detectors.profile import Profile
from detectors.rows import Encoder
from tests.unit.detectors.columnar import encoded, mixed_frame, mixed_layout


def numeric_layout(values: np.ndarray) -> NumericLayout:
    """The layout of one numeric column."""
    frame = pd.DataFrame({"x": values})
    layout = build_layout(frame, [Column("x", ColumnType.NUMERIC, Role.FEATURE, "")], segment_by=())
    column = layout.column("x")
    assert isinstance(column, NumericLayout)
    return column


def categorical_layout(values: list[object], **limits: int) -> CategoricalLayout:
    """The layout of one categorical column."""
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    columns = [Column("x", ColumnType.CATEGORICAL, Role.FEATURE, "")]
    column = build_layout(frame, columns, segment_by=(), **limits).column("x")
    assert isinstance(column, CategoricalLayout)
    return column


def test_equal_references_give_equal_bytes_in_any_order_of_rows() -> None:
    frame = mixed_frame(2_000)
    columns = infer_columns(frame, roles={}, declared={}, exclude=())
    layouts = [
        build_layout(rows, columns, segment_by=[("kind",)]) for rows in (frame, frame.sample(frac=1, random_state=1))
    ]
    assert layouts[0].to_bytes() == layouts[1].to_bytes()
    assert layouts[0].hash == layouts[1].hash


def test_a_layout_survives_its_bytes() -> None:
    layout = mixed_layout()
    again = Layout.from_bytes(layout.to_bytes())
    assert again.hash == layout.hash
    assert again.to_bytes() == layout.to_bytes()
    assert [segmentation.values for segmentation in again.segmentations] == [s.values for s in layout.segmentations]


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02abc", b"\x01abc", mixed_layout().to_bytes()[:-9]])
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptBlob):
        Layout.from_bytes(data)


def test_values_of_some_mass_have_a_cell_of_their_own() -> None:
    random = np.random.default_rng(0)
    column = numeric_layout(np.concatenate([random.normal(size=9_000), np.zeros(900), np.full(100, 0.5)]))
    for value in (0.0, 0.5):
        cell = np.searchsorted(column.edges, value, side="right")
        assert column.edges[cell - 1] == value
        assert column.edges[cell] == np.nextafter(value, np.inf)
        assert column.positions[cell] == value


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=300))
def test_the_cells_of_any_numbers_are_sound(values: list[float]) -> None:
    column = numeric_layout(np.array(values))
    assert np.all(np.diff(column.edges) > 0)
    assert column.edges[0] == min(values)
    assert column.edges[-1] > max(values)
    assert len(column.positions) == column.body == len(column.edges) + 1
    assert np.all((column.positions[1:-1] >= column.edges[:-1]) & (column.positions[1:-1] < column.edges[1:]))
    assert np.all(np.diff(column.positions) >= 0)
    # Coarse cells are runs of cells; none crosses a decile; the tails stand alone.
    assert set(np.diff(column.coarse)) <= {0, 1}
    assert np.all(np.diff(column.decile) >= 0)
    assert column.decile[-1] == len(column.decile_edges)
    assert np.count_nonzero(column.coarse == 0) == np.count_nonzero(column.coarse == column.coarse_body - 1) == 1
    assert column.constant == (len(set(values)) == 1)


def test_segments_have_about_an_eighth_of_the_cells() -> None:
    column = numeric_layout(np.random.default_rng(0).normal(size=20_000))
    assert 500 < column.body < 750
    assert column.body / 10 < column.coarse_body < column.body / 5


@pytest.mark.parametrize("name", ["normal", "lognormal", "pareto", "cauchy", "integers", "mostly zero"])
def test_distances_from_cells_are_close_to_the_exact_ones(name: str) -> None:
    """Given heavy tails and atoms, When KS and W1 come from cells, Then they are what all rows would have given."""
    random = np.random.default_rng(3)
    draw = {
        "normal": lambda n: random.normal(size=n),
        "lognormal": lambda n: np.exp(1.5 * random.normal(size=n)),
        "pareto": lambda n: random.pareto(1.5, n),
        "cauchy": lambda n: random.standard_cauchy(n),
        "integers": lambda n: random.poisson(300.0, n).astype(np.float64),
        "mostly zero": lambda n: np.where(random.random(n) < 0.8, 0.0, random.gamma(2.0, 3.0, n)),
    }[name]
    reference, window = draw(20_000), draw(5_000)
    window += 0.1 * np.abs(window) if name != "integers" else 5.0
    frame = pd.DataFrame({"x": reference})
    layout = build_layout(frame, [Column("x", ColumnType.NUMERIC, Role.FEATURE, "")], segment_by=())
    encoder = Encoder(layout)
    before, after = (
        Profile.of(layout, encoded(pd.DataFrame({"x": values}), encoder), encoder) for values in (reference, window)
    )
    column = layout.column("x")
    assert isinstance(column, NumericLayout)
    cumulated = [np.cumsum(profile.counts("x")) / profile.rows for profile in (before, after)]
    exact = stats.ks_2samp(reference, window).statistic
    assert np.abs(cumulated[0] - cumulated[1]).max() == pytest.approx(exact, abs=0.003)
    distance = float(wasserstein(before.counts("x"), after.counts("x"), after.positions("x"))) / column.sigma
    assert distance == pytest.approx(stats.wasserstein_distance(reference, window) / column.sigma, abs=0.01)


def test_one_outlier_does_not_widen_sigma() -> None:
    values = np.random.default_rng(0).normal(size=1_000)
    assert numeric_layout(np.append(values, 1e6)).sigma == pytest.approx(numeric_layout(values).sigma, rel=0.02)


def test_coarse_positions_are_the_reference_means() -> None:
    values = np.random.default_rng(0).normal(size=5_000)
    column = numeric_layout(values)
    cells = np.searchsorted(column.edges, values, side="right")
    counts = np.bincount(cells, minlength=column.body)
    positions = coarse_positions(column, counts)
    held = np.bincount(column.coarse[cells], minlength=column.coarse_body)
    means = np.bincount(column.coarse[cells], weights=values, minlength=column.coarse_body)[held > 0] / held[held > 0]
    assert positions[held > 0] == pytest.approx(means, abs=1e-9)


def test_the_vocabulary_is_commonest_first_and_the_rest_known_by_hash() -> None:
    column = categorical_layout(["b"] * 5 + ["a"] * 5 + ["c"] * 2 + ["d", None], vocabulary_limit=2)
    assert column.vocabulary == ("a", "b")
    assert len(column.rest) == 2


def test_whole_floats_and_integers_are_one_category() -> None:
    assert categorical_layout([1, 1.0, 2.0, "x", True]).vocabulary == ("1", "2", "x")
    assert categorical_layout([True, 1, 2.0, "x"]).vocabulary == ("1", "2", "x")
    assert categorical_layout([True, True, "x"]).vocabulary == ("true", "x")


def test_a_boolean_always_has_both_values() -> None:
    frame = pd.DataFrame({"x": [True, True]})
    column = build_layout(frame, infer_columns(frame, roles={}, declared={}, exclude=()), segment_by=()).column("x")
    assert isinstance(column, CategoricalLayout)
    assert column.vocabulary == BOOLEANS
    assert column.constant


def test_segments_are_the_commonest_values_and_other() -> None:
    frame = pd.DataFrame({"a": ["x"] * 5 + ["y"] * 3 + ["z"], "b": [1.0, 1.0, 2.0] * 3})
    columns = infer_columns(frame, roles={}, declared={}, exclude=())
    layout = build_layout(frame, columns, segment_by=[("a",), ("a", "b")], max_segments=2)
    single, crossed = layout.segmentations
    assert [single.label(i) for i in range(3)] == [{"a": "x"}, {"a": "y"}, {"a": "(other)"}]
    assert [crossed.label(i) for i in range(3)] == [
        {"a": "x", "b": "1"},
        {"a": "y", "b": "1"},
        {"a": "(other)", "b": "(other)"},
    ]


def test_a_segment_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(MissingColumn, match=r"segments\.by names 'nowhere'"):
        mixed_layout((("nowhere",),))
