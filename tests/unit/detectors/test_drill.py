"""Faults in a copy of rows: each is what it says, leaves the rest alone, and the smallest that is found is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.columns import infer_columns
from detectors.drill import LIMITS, Fault, Kind, check, inject, parse_shift, smallest, standard_deviation
from detectors.errors import UnsuitableFault
from detectors.layout import build_layout

ROWS = pd.DataFrame(
    {
        "amount": [1.0, 2.0, np.nan, 4.0],
        "fee": [10.0, 20.0, 30.0, 40.0],
        "kind": pd.Series(["web", None, "shop", "web"], dtype=object),
    }
)


def column(fault: Fault, name: str) -> list[object]:
    before = ROWS.copy(deep=True)
    found = inject(ROWS, fault, 2.0)
    pd.testing.assert_frame_equal(ROWS, before)
    for other in ROWS.columns.difference(fault.columns):
        pd.testing.assert_series_equal(found[other], ROWS[other])
    values: list[object] = found[name].astype(object).where(found[name].notna(), None).tolist()
    return values


def test_a_shift_is_in_standard_deviations_of_the_reference() -> None:
    assert column(Fault(Kind.SHIFT, ("amount",), -0.5), "amount") == [0.0, 1.0, None, 3.0]


def test_another_unit_multiplies() -> None:
    assert column(Fault(Kind.UNIT, ("fee",), 60.0), "fee") == [600.0, 1200.0, 1800.0, 2400.0]


def test_a_frozen_column_keeps_the_first_value_that_it_has() -> None:
    late = ROWS.iloc[1:].reset_index(drop=True)
    assert inject(late, Fault(Kind.FREEZE, ("kind",)), 0.0)["kind"].tolist() == ["shop", "shop", "shop"]
    empty = ROWS.iloc[1:2]
    assert inject(empty, Fault(Kind.FREEZE, ("kind",)), 0.0)["kind"].tolist() == [None]


def test_swapped_columns_have_each_others_values() -> None:
    assert column(Fault(Kind.SWAP, ("kind", "fee")), "kind") == [10.0, 20.0, 30.0, 40.0]
    assert column(Fault(Kind.SWAP, ("kind", "fee")), "fee") == ["web", None, "shop", "web"]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 400))
def test_so_many_values_go_missing_and_of_a_larger_share_the_same_and_more(one: float, two: float, rows: int) -> None:
    frame = pd.DataFrame({"kind": pd.Series(["web"] * rows, dtype=object), "fee": np.ones(rows)})
    few, many = (
        {name: inject(frame, Fault(Kind.MISSING, (name,), share), 0.0)[name].isna() for name in ("kind", "fee")}
        for share in sorted((one, two))
    )
    for name in ("kind", "fee"):
        assert not (few[name] & ~many[name]).any()
    assert abs(int(few["fee"].sum()) - min(one, two) * rows) <= 4


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (Fault(Kind.SHIFT, ("kind",), 1.0), "'kind' is categorical: only a numeric column can have a shift"),
        (Fault(Kind.UNIT, ("kind",), 2.0), "only a numeric column can have a unit"),
        (Fault(Kind.FREEZE, ("fees",)), "there is no column 'fees'; there are amount, fee, kind"),
        (Fault(Kind.SWAP, ("fee", "fee")), "a column cannot be swapped with itself"),
    ],
)
def test_a_fault_that_cannot_happen_to_a_column_is_refused(fault: Fault, complaint: str) -> None:
    frame = pd.concat([ROWS] * 30, ignore_index=True)
    layout = build_layout(frame, infer_columns(frame, roles={}, declared={}, exclude=()), segment_by=())
    with pytest.raises(UnsuitableFault, match=complaint):
        check(fault, layout)
    check(Fault(Kind.SWAP, ("fee", "kind")), layout)


@pytest.mark.parametrize("fault", [Fault(Kind.SHIFT, ("a",), -2.0), Fault(Kind.UNIT, ("a",), 0.25)])
def test_a_magnitude_keeps_its_direction(fault: Fault) -> None:
    assert fault.of_magnitude(fault.magnitude).size == pytest.approx(fault.size)
    larger = fault.of_magnitude(2 * fault.magnitude).size
    assert larger == pytest.approx({Kind.SHIFT: -4.0, Kind.UNIT: 0.0625}[fault.kind])


@given(st.floats(1e-3, 20), st.floats(1e-2, 16))
def test_the_smallest_is_found_to_within_a_twentieth(limit: float, start: float) -> None:
    largest = LIMITS[Kind.SHIFT]
    found = smallest(lambda size: size >= limit, start, largest)
    if limit > largest:
        assert found is None
    else:
        assert found is not None
        assert limit <= found <= max(1.06 * limit, limit + 1e-6 * largest)


def test_the_deviation_is_that_of_finite_numbers() -> None:
    assert standard_deviation(np.array([1.0, 3.0, np.nan, np.inf])) == 1.0
    assert standard_deviation(np.array([np.nan])) == 0.0


@pytest.mark.parametrize("text", ["", "much", "0sd", "1 min", "sd"])
def test_what_is_no_shift_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no shift; write how many standard deviations"):
        parse_shift(text)
