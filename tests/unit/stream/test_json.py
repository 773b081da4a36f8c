"""The format json: what becomes of each message, whatever stands beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.stream.formats import Decoded, formats
from daemon.stream.mapping import Fetch, Kind, Plan

COLUMNS = (
    Fetch("x", ("features", "x"), Kind.NUMBER),
    Fetch("y", ("features", "deep", "y"), Kind.NUMBER),
    Fetch("c", ("features", "c"), Kind.SCALAR),
    Fetch("prediction", ("prediction",), Kind.NUMBER),
)
PLAN = Plan(
    id=Fetch("id", ("id",), Kind.ID),
    time=Fetch("timestamp", ("ts",), Kind.TEXT_TIME),
    version=Fetch("version", ("v",), Kind.SCALAR),
    item=None,
    columns=COLUMNS,
    open_under=("features",),
    known=frozenset({"left.out"}),
)
GOOD = {
    "id": "a",
    "ts": "2013-02-01T05:17:00Z",
    "v": "7",
    "features": {"x": 1.5, "deep": {"y": 2}, "c": "UA"},
    "prediction": 3,
}


def decode(*messages: Any, plan: Plan = PLAN) -> Decoded:
    return formats()["json"](plan).decode(
        [m if isinstance(m, bytes | None) else json.dumps(m).encode() for m in messages]
    )


def test_fields_are_found_by_dotted_path() -> None:
    found = decode(GOOD)
    assert {name: list(values) for name, values in found.columns.items()} == {
        "x": [1.5],
        "y": [2.0],
        "c": ["UA"],
        "prediction": [3.0],
    }
    assert (list(found.ids), list(found.times or ()), list(found.versions or ())) == (["a"], [GOOD["ts"]], ["7"])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"{not json", "not JSON"),
        (b'{"id": "a"} {"id": "b"}', "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (json.dumps(GOOD).encode().replace(b"UA", b"\xff"), "not UTF-8"),
        (json.dumps(GOOD | {"id": "\N{REPLACEMENT CHARACTER}"}).encode().replace(b"\\ufffd", b"\xff"), "not UTF-8"),
        (b"[1, 2]", "not an object"),
        (b'"text"', "not an object"),
        ({k: v for k, v in GOOD.items() if k != "id"}, "no id"),
        (GOOD | {"id": None}, "no id"),
        (GOOD | {"id": ""}, "no id"),
        (GOOD | {"id": ["a"]}, "wrong type of id"),
        (GOOD | {"id": 1.5}, "wrong type of id"),
        (GOOD | {"id": True}, "wrong type of id"),
        ({k: v for k, v in GOOD.items() if k != "ts"}, "no timestamp"),
        (GOOD | {"ts": 1359695820}, "wrong type of timestamp"),
        (GOOD | {"v": {"a": 1}}, "wrong type of version"),
        (b'{"id": "a", "ts": "2013-02-01T05:17:00Z", "features": {"x": NaN}}', "NaN literal"),
        (b'{"id": "a", "ts": "2013-02-01T05:17:00Z", "features": {"x": -Infinity}}', "NaN literal"),
        (b'{"id": "a", "ts": "2013-02-01T05:17:00Z", "features": {"x": 1e999}}', "not JSON"),
        (GOOD | {"pad": "x" * (1 << 20)}, "too large"),
        (json.dumps(GOOD)[:-1].encode() + b', "more": ' + b"[" * 32 + b"]" * 32 + b"}", "nested too deep"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
    ],
)
def test_a_message_that_cannot_be_counted_says_why_and_the_others_count(message: Any, reason: str) -> None:
    found = decode(GOOD, message, GOOD)
    assert [(rejection.index, rejection.reason) for rejection in found.rejected] == [(1, reason)]
    assert found.index.tolist() == [0, 2]
    assert found.rejected[0].detail


def test_nesting_up_to_the_limit_is_taken() -> None:
    deep = json.dumps(GOOD)[:-1].encode() + b', "more": ' + b"[" * 31 + b"]" * 31 + b"}"
    assert decode(deep).rejected == []


def test_brackets_in_strings_are_no_nesting() -> None:
    assert decode(GOOD | {"text": '[[{"' * 50}).rejected == []


@pytest.mark.parametrize("wrong", ["1.5", True, [1], {"a": 1}])
def test_a_feature_of_the_wrong_type_is_set_apart_and_the_row_counts(wrong: Any) -> None:
    found = decode(GOOD, GOOD | {"features": {"x": wrong, "c": "UA"}}, GOOD)
    assert found.rejected == []
    assert list(found.columns["x"]) == [1.5, None, 1.5]
    assert {name: mask.tolist() for name, mask in found.mistyped.items()} == {"x": [False, True, False]}
    assert list(found.columns["c"]) == ["UA", "UA", "UA"]


def test_features_that_are_no_object_are_mistyped_and_absent_ones_missing() -> None:
    found = decode(
        GOOD | {"features": 5}, GOOD | {"features": None}, {k: v for k, v in GOOD.items() if k != "features"}
    )
    assert {name: mask.tolist() for name, mask in found.mistyped.items()} == {
        name: [True, False, False] for name in ("x", "y", "c")
    }
    assert list(found.columns["x"]) == [None, None, None]


def test_a_column_that_turns_to_strings_for_good_is_still_set_apart() -> None:
    turned = GOOD | {"features": {"x": "1.5", "deep": {"y": 2}, "c": "UA"}}
    decoder = formats()["json"](PLAN)
    for _ in range(5):
        found = decoder.decode([json.dumps(m).encode() for m in [turned] * 50 + [GOOD]])
        assert found.mistyped["x"].tolist() == [True] * 50 + [False]
        assert set(found.columns["x"][:50]) == {None}
        assert found.columns["x"][50] == 1.5
        assert found.columns["c"][0] == "UA"
        assert found.rejected == []


def test_whole_numbers_are_ids_as_their_text() -> None:
    assert list(decode(GOOD | {"id": 17}, GOOD).ids) == ["17", "a"]


def test_new_features_are_noticed_and_those_left_out_on_purpose_are_not() -> None:
    features = {"x": 1, "new": 2, "left": {"out": 3, "in": 4}, "deep": {"y": 1, "z": 2}}
    assert decode(GOOD | {"features": features}, GOOD).new_fields == {"new": 1, "left.in": 1, "deep.z": 1}


def test_tombstones_are_nobodys() -> None:
    found = decode(None, GOOD, b"")
    assert (found.ignored, found.index.tolist()) == (2, [1])


def test_where_picks_by_text_whatever_the_type() -> None:
    plan = Plan(id=PLAN.id, time=PLAN.time, version=None, item=None, columns=COLUMNS, where=((("model",), "7"),))
    found = decode(
        GOOD | {"model": "7"}, GOOD | {"model": 7}, GOOD | {"model": "8"}, GOOD, {"model": "8"}, {"model": 7}, plan=plan
    )
    assert found.index.tolist() == [0, 1]
    assert found.ignored == 3
    assert [(r.index, r.reason) for r in found.rejected] == [(5, "no id")]


def test_a_field_can_serve_twice() -> None:
    plan = Plan(
        id=PLAN.id,
        time=PLAN.time,
        version=Fetch("version", ("features", "c"), Kind.SCALAR),
        item=None,
        columns=COLUMNS,
        where=((("features", "c"), "UA"),),
    )
    found = decode(GOOD, GOOD | {"features": {"c": "AA"}}, plan=plan)
    assert (list(found.versions or ()), list(found.columns["c"])) == (["UA"], ["UA"])


_SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
_FEATURES = st.fixed_dictionaries({}, optional={"x": _VALUES, "deep": _VALUES, "c": _VALUES, "other": _VALUES})
_MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "id": _VALUES,
        "ts": _VALUES | st.just("2013-02-01T05:17:00Z"),
        "v": _VALUES,
        "features": _FEATURES,
        "more": _VALUES,
    },
).map(lambda message: json.dumps({"id": "a", "ts": "t"} | message).encode()) | st.binary(max_size=30)


@given(st.lists(_MESSAGES, max_size=12))
def test_what_becomes_of_a_message_does_not_depend_on_its_neighbours(messages: list[bytes]) -> None:
    together = decode(*messages)
    place = 0
    for i, message in enumerate(messages):
        alone = decode(message)
        assert [(r.reason, r.detail) for r in together.rejected if r.index == i] == [
            (r.reason, r.detail) for r in alone.rejected
        ]
        assert (i in together.index.tolist()) == (len(alone.index) == 1)
        if len(alone.index):
            assert together.ids[place] == alone.ids[0]
            for name, values in alone.columns.items():
                assert repr(together.columns[name][place]) == repr(values[0])
                masks = (together.mistyped.get(name), alone.mistyped.get(name))
                assert [mask is not None and bool(mask[at]) for mask, at in zip(masks, (place, 0), strict=True)] in (
                    [True, True],
                    [False, False],
                )
            place += 1
