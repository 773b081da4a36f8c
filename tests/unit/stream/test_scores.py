"""The probabilities of a multiclass model, from its messages to what waits for the label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.store import Store, labels
from daemon.stream import checkpoint
from daemon.stream.buffer import Buffer
from daemon.stream.formats import Decoded
from daemon.stream.mapping import Fetch, Kind, Plan
from daemon.stream.spec import Fields, Spec, fields_of
from detectors.predicted import read_scored
from detectors.rows import hash_ids
from tests.unit.stream.test_json import GOOD, PLAN, decode
from tests.unit.stream.world import START, layout, settings

SCORED = Plan(
    id=PLAN.id,
    time=PLAN.time,
    version=PLAN.version,
    item=None,
    columns=(*PLAN.columns, Fetch("scores", ("out", "p"), Kind.SHARES)),
    open_under=("features",),
)
SHARES = {"cat": 0.75, "dog": 0.25}


def scores_of(*given: Any) -> Decoded:
    return decode(*({**GOOD, "out": {"p": one}} for one in given), plan=SCORED)


def test_scores_are_an_object_of_numbers() -> None:
    assert list(scores_of(SHARES, None, {}).columns["scores"]) == [SHARES, None, {}]
    assert list(decode(GOOD, plan=SCORED).columns["scores"]) == [None]


@pytest.mark.parametrize("odd", [{"cat": "much"}, {"cat": None, "dog": 1}, {"cat": [1]}])
def test_an_object_of_something_else_is_kept_as_it_is_for_the_verdict_to_name(odd: Any) -> None:
    # Given one odd message among good ones: what becomes of each depends on it alone
    found = scores_of(SHARES, odd, SHARES)
    assert list(found.columns["scores"]) == [SHARES, odd, SHARES]
    assert found.rejected == []
    assert "scores" not in found.mistyped


@pytest.mark.parametrize("odd", [0.5, "text", [0.5, 0.5]])
def test_what_is_no_object_is_no_score_and_the_row_counts(odd: Any) -> None:
    for times in (1, 200):  # so many that the decoder no longer trusts the type
        found = scores_of(*[odd] * times, SHARES)
        assert list(found.columns["scores"]) == [None] * times + [SHARES]
        assert found.rejected == []


def scored_spec() -> Spec:
    given = {"predictions": {"topic": ["t"], "fields": {"scores": "p"}}, "labels": {"topic": ["l"]}}
    of = settings(Path("unused.db"), models={"m": {"task": "multiclass", **given}})
    made = layout()
    return Spec("m", fields_of(of.models["m"]), made, made.hash, "reference", 3_600_000_000)


def add(buffer: Buffer, spec: Spec, classes: list[Any], scores: list[Any]) -> int:
    n = len(classes)
    table = buffer.table("m", "t", spec, keeps_predictions=True)
    return table.add(
        identity=hash_ids([f"id-{i}" for i in range(n)]),
        ids=[f"id-{i}" for i in range(n)],
        event_time=np.full(n, START),
        partition=0,
        offset=np.arange(n),
        version="7",
        columns={
            "delay": [1.0] * n,
            "hour": [1.0] * n,
            "origin": ["JFK"] * n,
            "prediction": classes,
            "scores": scores,
        },
        mistyped={},
        items=None,
    )


def test_a_class_waits_with_its_scores(tmp_path: Path) -> None:
    # Given predictions with scores, without, and with too many
    spec, buffer = scored_spec(), Buffer()
    many = {f"k{i}": 0.001 for i in range(101)}
    cut = add(buffer, spec, [1, 2, None, 4], [SHARES, None, SHARES, many])
    assert cut == 1
    # When they are written and their labels come
    with Store.open(tmp_path / "driftd.db", writer=True) as store:
        prepared = checkpoint.prepare(store, buffer)
        checkpoint.write(store, buffer, prepared, [], activations=[], attested=frozenset(), now=0)
        with store.write() as conn:
            labels.add_labels(
                conn,
                "m",
                id_hash=hash_ids([f"id-{i}" for i in range(4)]),
                time=np.full(4, START),
                partition=np.zeros(4),
                offset=np.arange(4),
                label=["1"] * 4,
            )
            joined = labels.joined(conn, "m", START, START + 3_600_000_000)
    # Then
    text = '{"cat":0.75,"dog":0.25}'
    read = {read_scored(prediction) for prediction in joined.prediction}
    assert read == {("1", text), ("2", None), (None, text), ("4", None)}


def test_the_texts_count_as_memory() -> None:
    spec, buffer = scored_spec(), Buffer()
    add(buffer, spec, [1], [None])
    before = buffer.nbytes
    add(buffer, spec, [1], [{f"class {i}": 0.01 for i in range(100)}])
    assert buffer.nbytes - before > 1_000


def test_specs_without_scores_keep_the_hash_that_they_are_stored_by() -> None:
    fields = Fields("id", "ts", "rfc3339", None, "prediction", None, ("features.*",), None)
    made = layout()
    spec = Spec("m", fields, made, "layout", "reference", 1)
    assert spec.hash == "40dce86db91ce81f4716ca7c90c5bd9459f6c9b8e0896fe90ec6b8110ad088fd"
