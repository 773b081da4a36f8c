"""A topic that many models share: each message reaches whom it reaches when every model looks for itself."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.settings import Model
from daemon.stream.flows import Flow, flows_of
from daemon.stream.formats.json.peek import texts_at
from daemon.stream.sharing import FEW, Sharing

NAMES = ["a", "ab", "b", "true", "7", "x y", "é", 'q"t']


def flows(path: str = "model") -> list[Flow]:
    return flows_of(
        {
            f"model-{i}": Model.model_validate(
                {"predictions": {"topic": ["t"], "where": {path: name}}, "reference": {"uri": "r.parquet"}}
            )
            for i, name in enumerate(NAMES)
        }
    )


def record(value: bytes | None) -> Any:
    return SimpleNamespace(value=value, headers=[])


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.sampled_from([*NAMES, "other"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["model", "id", "n"]), inner),
    max_leaves=6,
)
bodies = (
    st.builds(lambda value: json.dumps(value).encode(), values)
    | st.builds(lambda value: json.dumps(value, ensure_ascii=False).encode(), values)
    | st.builds(lambda name: json.dumps({"id": "1", "model": name}).encode(), st.sampled_from([*NAMES, "other"]))
    | st.sampled_from([None, b"", b"{", b'{"model":"a"', b'{"model":"a"} x', b'{"model":"\xff"}', b"[" * 2_000])
)


@given(st.lists(bodies, max_size=12), st.integers(0, 3), st.sampled_from(["model", "n.model"]))
def test_nobody_misses_a_message_that_names_him(found: list[bytes | None], start: int, path: str) -> None:
    """Whoever a readable message names by this field gets it, and he alone; an unreadable one goes to all as before."""
    everyone, records = flows(path), [record(value) for value in found]
    sharing = Sharing(records, everyone)
    texts = texts_at(tuple(path.split(".")), found)
    for flow in everyone:
        alone = {i for i in range(start, len(records)) if flow.is_mine(records[i])}
        mine = sharing.places(flow, start)
        assert mine == sorted(mine)
        text = flow.where[path]
        if flow.address is None:  # a number: its text tells nothing
            assert set(mine) == alone
        else:
            assert set(mine) == {i for i in alone if texts[i] in (None, text)}


@pytest.mark.parametrize(("count", "reached"), [(FEW, len(NAMES)), (FEW + 1, 1)])
def test_few_models_look_for_themselves(count: int, reached: int) -> None:
    # Given messages in each of which "ab" stands somewhere: the decoder would set the others' aside
    records = [record(json.dumps({"model": name, "note": "ab"}).encode()) for name in NAMES]
    sharing = Sharing(records, flows()[:count])
    assert len(sharing.places(flows()[1], 0)) == reached


def test_texts_are_found_below_other_objects() -> None:
    bodies = [b'{"a":{"b":"x"}}', b'{"a":{"b":7}}', b'{"a":"b"}', b'{"a":null}', b"[]", b'{"a":{"b":"\\u00e9"}}', None]
    assert texts_at(("a", "b"), bodies) == ["x", None, None, None, None, "é", None]
    assert texts_at(('a"',), [b"{}"]) == [None]
