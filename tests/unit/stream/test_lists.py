"""List-valued predictions: the columns that stand for them, and the join with what was taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from daemon.store import Connection, Store, books, labels
from daemon.store.labels import Joined
from daemon.stream import checkpoint
from daemon.stream.buffer import Buffer
from daemon.stream.flows import ActiveSpec, Decoders, flows_of
from daemon.stream.mapping import Fetch, Kind, Plan, prediction_plan
from daemon.stream.spec import Spec, fields_of
from detectors.columns import LIST_LENGTH, Role, infer_columns
from detectors.instants import HOUR
from detectors.layout import build_layout
from detectors.profile import Profile
from detectors.rows import hash_ids
from tests.unit.stream.test_json import GOOD, PLAN, decode
from tests.unit.stream.world import START, settings

LISTED = Plan(
    id=PLAN.id,
    time=PLAN.time,
    version=PLAN.version,
    item=None,
    columns=(*PLAN.columns[:-1], Fetch("prediction", ("items",), Kind.ITEMS)),
    open_under=("features",),
)
MODEL = {
    "task": "recommendation",
    "predictions": {"topic": ["t"], "fields": {"prediction": "items"}},
    "labels": {"topic": ["l"]},
}


def spec() -> Spec:
    of = settings(Path("unused.db"), models={"m": MODEL}).models["m"]
    frame = pd.DataFrame(
        {
            "hour": [float(i % 24) for i in range(200)],
            "prediction": [f"i{i % 5}" for i in range(200)],
            LIST_LENGTH: [3.0, 4.0] * 100,
        }
    )
    roles = {"prediction": Role.PREDICTION, LIST_LENGTH: Role.PREDICTION}
    made = build_layout(frame, infer_columns(frame, roles=roles, declared={}, exclude=()), segment_by=())
    return Spec("m", fields_of(of), made, made.hash, "reference", HOUR)


def add(buffer: Buffer, one: Spec, lists: list[Any], first: int = 0) -> int:
    n = len(lists)
    ids = [f"id-{first + i}" for i in range(n)]
    return buffer.table("m", "t", one, keeps_predictions=True).add(
        identity=hash_ids(ids),
        ids=ids,
        event_time=np.full(n, START),
        partition=0,
        offset=np.arange(first, first + n),
        version="7",
        columns={"hour": [1.0] * n, "prediction": lists},
        mistyped={},
        items=None,
    )


def write(store: Store, buffer: Buffer) -> None:
    prepared = checkpoint.prepare(store, buffer)
    checkpoint.write(store, buffer, prepared, [], activations=[], attested=frozenset(), now=0)
    buffer.empty(keep=True)


def take(buffer: Buffer, taken: list[tuple[int, str]], first: int = 0) -> None:
    """Labels as intake buffers them: one for each item taken."""
    items = [item for _, item in taken]
    buffer.add_labels(
        "m",
        identity=hash_ids([f"id-{number}" for number, _ in taken]),
        time=np.full(len(taken), START + 1),
        partition=0,
        offset=np.arange(first, first + len(taken)),
        label=items,
        item=hash_ids(items).view(np.int64),
    )


def test_a_list_of_texts_and_numbers_is_decoded() -> None:
    lists = [["a", 7, None], [], None]
    found = decode(*({**GOOD, "items": items} for items in lists), plan=LISTED)
    assert list(found.columns["prediction"]) == lists


@pytest.mark.parametrize("odd", ["a", 7, {"a": 1}])
def test_what_is_no_list_is_of_the_wrong_type(odd: Any) -> None:
    for times in (1, 200):  # so many that the decoder no longer trusts the type
        found = decode(*[{**GOOD, "items": odd}] * times, {**GOOD, "items": ["a"]}, plan=LISTED)
        assert list(found.columns["prediction"]) == [None] * times + [["a"]]
        assert found.mistyped["prediction"].tolist() == [True] * times + [False]


def test_the_plan_fetches_the_list_and_not_what_is_made_of_it() -> None:
    one, of = spec(), settings(Path("unused.db"), models={"m": MODEL}).models["m"]
    plan = prediction_plan(of, one.fields, [one.layout])
    assert {fetch.name: fetch.kind for fetch in plan.columns} == {"prediction": Kind.ITEMS, "hour": Kind.NUMBER}


def test_one_drawn_item_and_the_length_stand_for_a_list() -> None:
    # Given lists, an empty one, something odd in one, and nothing
    one, buffer = spec(), Buffer()
    add(buffer, one, [["i0", "i1"], ["new"] * 3, [], [["nested"]], None])
    # When
    (group,) = buffer.tables[next(iter(buffer.tables))].groups()
    profile = Profile.of(one.layout, group.rows, buffer.tables[next(iter(buffer.tables))].encoder)
    # Then
    assert profile.present("prediction") == 2
    assert profile.unseen("prediction").kept == {"new": 1}
    assert profile.missing("prediction") == 3
    assert profile.present(LIST_LENGTH) == 3
    assert profile.mean(LIST_LENGTH) == pytest.approx(5 / 3)


def test_a_list_is_bounded_and_what_is_cut_off_is_counted() -> None:
    one, buffer = spec(), Buffer()
    before = buffer.nbytes
    assert add(buffer, one, [[f"item {i}" for i in range(1_001)], ["a"]]) == 1
    assert buffer.nbytes - before > 10_000
    (group,) = buffer.tables[next(iter(buffer.tables))].groups()
    assert group.predictions is not None
    assert len(json.loads(group.predictions[0])) == 1_000


def joined_with(store: Store) -> Joined:
    with store.read() as conn:
        return labels.joined_several(conn, "m", START, START + HOUR)


def by_list(joined: Joined) -> dict[Any, list[str]]:
    return {
        prediction: sorted(json.loads(label)) for prediction, label in zip(joined.prediction, joined.label, strict=True)
    }


def waits(conn: Connection) -> dict[str, int]:
    return {name: value for name, value in books.books(conn)["m"].items() if value}


def test_every_request_is_joined_with_all_that_it_took(tmp_path: Path) -> None:
    # Given three requests, of which one took two items (one of them twice), one took none, and a taker of nothing shown
    one, buffer = spec(), Buffer()
    add(buffer, one, [["a", "b"], ["c"], ["d"]])
    take(buffer, [(0, "b"), (0, "z"), (0, "b"), (2, "d"), (99, "a")])
    with Store.open(tmp_path / "driftd.db", writer=True) as store:
        write(store, buffer)
        # When
        found = joined_with(store)
        # Then
        assert by_list(found) == {'["a","b"]': ["b", "z"], '["c"]': [], '["d"]': ["d"]}
        assert (found.expected, found.labelled, len(found)) == (3, 2, 3)
        # and a later item changes what was judged
        take(buffer, [(1, "c")], first=10)
        write(store, buffer)
        later = joined_with(store)
        assert (later.labelled, later.fingerprint != found.fingerprint) == (3, True)
        # and each label is counted once, up to its end
        with store.write() as conn:
            assert labels.mark_joined(conn, "m", START, START + HOUR, several=True) == 4
            assert labels.mark_joined(conn, "m", START, START + HOUR, several=True) == 0
            assert waits(conn)["joined"] == 4
            assert books.check(conn) == []
            labels.expire(conn, "m", START + HOUR, several=True)
            assert books.check(conn) == []
            assert waits(conn) == {
                "labels": 6, "joined": 4, "superseded": 1, "expired": 1, "offered": 3, "predictions_labelled": 3,
            }  # fmt: skip


def test_labels_go_to_the_item_that_was_taken() -> None:
    # Given the flow of a recommender's labels
    of = settings(Path("unused.db"), models={"m": MODEL})
    (flow,) = [flow for flow in flows_of(of.models) if flow.role == "labels"]
    Decoders().put_in_force(flow, [ActiveSpec(None, 0, spec())])
    # Then it is one item that a message holds
    assert flow.settings.several_labels
    assert flow.plan is not None
    assert flow.plan.columns == (Fetch("label", ("label",), Kind.SCALAR),)
