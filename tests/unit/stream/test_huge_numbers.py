"""JSON bounds no integer: one that no float or no 64 bits can hold costs its own message at most, never the daemon."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.structs import TopicPartition

from daemon.store.store import Store
from daemon.stream import checkpoint
from daemon.stream.batches import Versions, count_batch
from daemon.stream.buffer import Buffer
from daemon.stream.flows import ActiveSpec, Decoders, Role, flows_of
from daemon.stream.partitions import Cursor, PartitionState
from tests.unit.stream.world import START, book, message, put_in_force, settings, spec

HUGE = 10**400
CLASSES = {"task": "binary_classification", "labels": {"topic": ["l"]}}
NUMBERS = {"task": "regression", "labels": {"topic": ["l"]}}


def count(folder: Path, model: dict[str, Any], role: Role, *values: bytes) -> tuple[dict[str, int], list[str]]:
    """What the books say, and why messages were rejected, after these have been counted and written."""
    of = settings(folder / "driftd.db", models={"m": {"predictions": {"topic": ["t"]}, **model}})
    one = spec(of)
    with Store.open(of.store.path, writer=True) as store:
        put_in_force(store, one)
        flow = next(flow for flow in flows_of(of.models) if flow.role == role)
        Decoders().put_in_force(flow, [ActiveSpec(None, 0, one)])
        partition = PartitionState(TopicPartition(flow.topics[0], 0), "cluster", "topic")
        partition.cursors[flow.key] = Cursor(flow, 0)
        records = [
            SimpleNamespace(value=value, offset=i, timestamp=START // 1_000, headers=[], topic="t", partition=0)
            for i, value in enumerate(values)
        ]
        buffer = Buffer()
        count_batch(partition, records, buffer, Versions({}), START)
        reasons = [letter.reason for letter in buffer.dead_letters]
        prepared = checkpoint.prepare(store, buffer)
        checkpoint.write(store, buffer, prepared, [partition], activations=[], attested=frozenset(), now=START)
        return book(store), reasons


@pytest.mark.parametrize("model", [NUMBERS, CLASSES], ids=["regression", "classification"])
def test_a_huge_prediction_or_label_is_an_infinite_one(tmp_path: Path, model: dict[str, Any]) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "l").mkdir()
    label = json.dumps({"id": "id-1", "ts": "2013-02-01T00:00:00Z", "label": -HUGE}).encode()

    predictions = count(tmp_path / "p", model, "predictions", message(0), message(0, prediction=HUGE))
    labels = count(tmp_path / "l", model, "labels", label)

    assert (predictions[0]["decoded"], predictions[1]) == (2, [])
    assert (labels[0]["decoded"], labels[1]) == (1, [])


def test_an_item_beyond_64_bits_is_a_dead_letter(tmp_path: Path) -> None:
    model = {**NUMBERS, "predictions": {"topic": ["t"], "fields": {"item": "item"}}}

    books, reasons = count(tmp_path, model, "predictions", *(message(0, item=i) for i in (1, 2**63, None, -HUGE)))

    assert reasons == ["item out of range"] * 2
    assert (books["messages"], books["decoded"], books["dead_lettered"]) == (4, 2, 2)
