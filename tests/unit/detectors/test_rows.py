"""Values become codes the same way in every process, for ever."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.columns import Column, ColumnType, Role
from detectors.layout import Layout, build_layout
from detectors.rows import Encoder, Rows, hash_ids
from detectors.values import TEXT_LIMIT, text_hash, value_text
from tests.unit.detectors.columnar import encoded, mixed_frame, mixed_layout


def layout_of(values: list[object], kind: ColumnType = ColumnType.CATEGORICAL, *, id_like: bool = False) -> Layout:
    """The layout of one column x."""
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    return build_layout(frame, [Column("x", kind, Role.FEATURE, "", id_like)], segment_by=(), vocabulary_limit=2)


def test_identities_never_change() -> None:
    """Stored samples and waiting predictions are keyed by these numbers: a change would lose every one of them."""
    assert hash_ids(["a", "b"]).tolist() == [0xBC373A2F34C687AE, 0xEDCA918CFEDF53E9]
    assert hash_ids(["a", "é", "a"], [0, 1, 2]).tolist() == [
        0x8F080BDFF805609E,
        0x13FBB21DC8ECDBC1,
        0x251140E9700255AD,
    ]
    assert text_hash("a") == 3405396810240292928


def test_an_id_that_is_no_unicode_has_an_identity_too() -> None:
    assert len(set(hash_ids(["\ud800", "\ud801", "a"]).tolist())) == 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=30))
def test_an_identity_does_not_depend_on_the_ids_beside_it(ids: list[str]) -> None:
    assert hash_ids(ids).tolist() == [int(hash_ids([name])[0]) for name in ids]


def test_categories_become_codes_and_strangers_are_remembered() -> None:
    encoder = Encoder(layout_of(["a", "a", "b", "c"]))
    codes = encoder.encode("x", ["a", "b", None, "z", "c", "z", float("nan")])
    assert codes.tolist() == [0, 1, -1, 3, 4, 3, -1]
    assert list(encoder.strangers("x")) == ["z", "c"]
    assert encoder.known("x").tolist() == [False, True]
    assert encoder.nbytes > 0


def test_numbers_in_a_categorical_column_are_text() -> None:
    encoder = Encoder(layout_of([1, 1, 2]))
    assert encoder.encode("x", [1, 1.0, "1", True, 2]).tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("values", [[True, 1, "true", 1.0], [1, True, 1.0, "true"]])
def test_a_boolean_column_takes_zero_and_one(values: list[object]) -> None:
    encoder = Encoder(layout_of([True, False], ColumnType.BOOLEAN))
    assert encoder.encode("x", values).tolist() == [1, 1, 1, 1]


def test_the_order_of_arrival_does_not_decide_what_true_means() -> None:
    layout = layout_of(["a", "b"])
    texts = []
    for values in ([True, 1], [1, True]):
        encoder = Encoder(layout)
        encoder.encode("x", values)
        texts.append(list(encoder.strangers("x")))
    assert texts[0] == texts[1] == ["1"]


def test_id_like_values_are_not_remembered() -> None:
    encoder = Encoder(layout_of(["a", "b"], id_like=True))
    assert encoder.encode("x", ["q", None, "r", float("nan")]).tolist() == [0, -1, 0, -1]
    assert encoder.nbytes == 0


def test_lists_among_categories_are_compared_by_their_text() -> None:
    encoder = Encoder(layout_of(["a", "b"]))
    assert encoder.encode("x", ["a", [1, 2], None, [1, 2]]).tolist() == [0, 3, -1, 3]
    assert list(encoder.strangers("x")) == ["[1, 2]"]


def test_numbers_keep_infinities_and_miss_none() -> None:
    encoder = Encoder(layout_of([1.0, 2.0], ColumnType.NUMERIC))
    values = encoder.encode("x", [1, None, math.inf, -math.inf, 10**400, -(10**400), 2.5])
    assert values.tolist()[2:] == [math.inf, -math.inf, math.inf, -math.inf, 2.5]
    assert math.isnan(values[1])


def test_long_texts_are_cut_and_still_told_apart() -> None:
    one, two = value_text("x" * 200 + "1"), value_text("x" * 200 + "2")
    assert len(one) == len(two) == TEXT_LIMIT
    assert one != two
    assert value_text(one) == one


def test_a_lone_surrogate_becomes_text_that_can_be_stored() -> None:
    value_text("\ud800").encode()


def test_rows_are_taken_with_their_marks() -> None:
    encoder = Encoder(mixed_layout())
    rows = encoded(mixed_frame(50), encoder)
    mask = np.zeros(50, dtype=bool)
    mask[3] = True
    wrong = Rows(
        rows.identity, rows.ids, rows.event_time, "t", rows.partition, rows.offset, rows.values, {"whole": mask}
    )
    taken = wrong.take(np.arange(20))
    assert len(taken) == 20
    assert taken.ids.tolist() == rows.ids.tolist()[:20]
    assert taken.mistyped["whole"].tolist() == mask.tolist()[:20]
    assert wrong.take(slice(20, 50)).mistyped == {}
    assert rows.nbytes > 0
