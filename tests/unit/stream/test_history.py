"""Rows of Parquet files as messages: in the order of time, at the configured paths, and what is wrong with files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from kafka.structs import TopicPartition

from daemon.config.settings import Model
from daemon.stream.errors import HistoryError
from daemon.stream.history.consumer import History, open_history
from tests.support.configuration import load


def model_of(folder: Path, **changes: Any) -> Model:
    body = {
        "installation": "test",
        "kafka": {"bootstrap_servers": "localhost:9092"},
        "models": {
            "orders": {"task": "regression", "predictions": {"topic": "p"}, "labels": {"topic": "l"}, **changes}
        },
    }
    (folder / "driftd.yaml").write_text(yaml.safe_dump(body))
    return load(folder / "driftd.yaml", environ={}).models["orders"]


def frame(first: int, rows: int, **more: Any) -> pd.DataFrame:
    """Rows of successive minutes, from minute `first` of 1 March 2013 on; ids are the minutes."""
    minutes = list(range(first, first + rows))
    at = pd.to_datetime([pd.Timestamp("2013-03-01", tz="UTC") + pd.Timedelta(minutes=minute) for minute in minutes])
    return pd.DataFrame({"id": [str(minute) for minute in minutes], "ts": at, "prediction": 1.5, **more})


def messages(history: History, topic: str, at_once: int = 2) -> list[dict[str, Any]]:
    """Everything of one topic, as intake would read it: the messages, in order of their offsets."""
    consumer = history.consumer(None, client_id="", max_poll_records=at_once)  # type: ignore[arg-type]
    at = TopicPartition(topic, 0)
    consumer.assign({at: 0})
    found = []
    while records := consumer.poll(0).get(at, []):
        assert len(records) <= at_once
        found += records
    assert [record.offset for record in found] == list(range(consumer.ends([at])[at]))
    return [json.loads(record.value) for record in found]


def test_rows_come_in_the_order_of_time_however_the_files_were_cut(tmp_path: Path) -> None:
    # Given files whose names and rows are in no order, and of which two overlap
    for name, part in {"a": frame(20, 5), "b": frame(0, 10), "c": frame(7, 6), "sub/d": frame(40, 1)}.items():
        path = tmp_path / "history" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        part.iloc[::-1].to_parquet(path)
    frame(90, 3).to_parquet(tmp_path / "history" / "_written_by_someone.parquet")
    # When
    found = messages(open_history(model_of(tmp_path), tmp_path / "history"), "predictions")
    # Then
    minutes = [int(message["id"]) for message in found]
    assert minutes == sorted([*range(20, 25), *range(10), *range(7, 13), 40])
    assert [message["ts"] for message in found] == sorted(message["ts"] for message in found)


def test_each_column_stands_where_its_message_has_it(tmp_path: Path) -> None:
    rows = frame(0, 1, amount=[float("inf")], kind=["web"], nothing=[float("nan")], v=["7"], eu=[True], region=["eu"])
    rows.to_parquet(tmp_path / "rows.parquet")
    model = model_of(
        tmp_path,
        predictions={
            "topic": "p",
            "where": {"meta.region": "eu", "header:model": "orders"},
            "fields": {"id": "meta.id", "prediction": "out.prediction", "version": "meta.v"},
        },
        labels=None,
        reference={"uri": "reference.parquet"},
    )
    history = open_history(model, tmp_path / "rows.parquet")
    (message,) = messages(history, "predictions")
    assert message == {
        "meta": {"id": "0", "v": "7", "region": "eu"},
        "ts": "2013-03-01T00:00:00.000000Z",
        "out": {"prediction": 1.5},
        "features": {"amount": float("inf"), "kind": "web", "eu": True},
    }
    assert history.headers["predictions"] == (("model", b"orders"),)


def test_a_mark_without_a_column_is_every_rows(tmp_path: Path) -> None:
    frame(0, 1).to_parquet(tmp_path / "rows.parquet")
    model = model_of(tmp_path, predictions={"topic": "p", "where": {"model": "orders"}})
    (message,) = messages(open_history(model, tmp_path / "rows.parquet"), "predictions")
    assert message["model"] == "orders"


@pytest.mark.parametrize(
    ("unit", "column", "written"),
    [
        ("rfc3339", "datetime64[ns, UTC]", "2013-03-01T00:00:00.000000Z"),
        ("rfc3339", "text", "2013-03-01T00:00:00Z"),
        ("ms", "datetime64[ns, UTC]", 1_362_096_000_000),
        ("s", "int64", 1_362_096_000),
        ("ns", "int64", 1_362_096_000_000_000_000),
    ],
)
def test_times_are_written_in_the_messages_unit(tmp_path: Path, unit: str, column: str, written: object) -> None:
    rows = frame(0, 1)
    rows["ts"] = [written] if column in ("text", "int64") else rows["ts"].astype(column)
    rows.to_parquet(tmp_path / "rows.parquet")
    model = model_of(tmp_path, predictions={"topic": "p", "timestamp_unit": unit})
    (message,) = messages(open_history(model, tmp_path / "rows.parquet"), "predictions")
    assert message["ts"] == written


def test_labels_come_at_their_own_time_and_only_where_there_is_one(tmp_path: Path) -> None:
    rows = frame(0, 3, label=[1.0, None, 3.0])
    rows["known"] = rows["ts"] + pd.to_timedelta([90, 60, 10], unit="min")
    rows.to_parquet(tmp_path / "rows.parquet")
    history = open_history(model_of(tmp_path), tmp_path / "rows.parquet", label_time="known")
    assert [(message["id"], message["label"], message["ts"][11:16]) for message in messages(history, "labels")] == [
        ("2", 3.0, "00:12"),
        ("0", 1.0, "01:30"),
    ]
    assert "features" not in messages(history, "predictions")[0]


def test_each_item_that_was_taken_is_a_label(tmp_path: Path) -> None:
    rows = frame(0, 3, label=[["a", "b"], [], '["c"]'])
    rows["label"] = ['["a", "b"]', "[]", "c"]
    rows["prediction"] = '["a", "b", "c"]'
    rows.to_parquet(tmp_path / "rows.parquet")
    history = open_history(model_of(tmp_path, task="recommendation"), tmp_path / "rows.parquet")
    assert [(one["id"], one["label"]) for one in messages(history, "labels")] == [("0", "a"), ("0", "b"), ("2", "c")]
    assert messages(history, "predictions")[0]["prediction"] == ["a", "b", "c"]


def test_what_is_earlier_than_asked_for_is_left_out(tmp_path: Path) -> None:
    frame(0, 10).to_parquet(tmp_path / "rows.parquet")
    since = 1_362_096_000_000_000 + 7 * 60_000_000
    history = open_history(model_of(tmp_path), tmp_path / "rows.parquet", since=since)
    assert [message["id"] for message in messages(history, "predictions")] == ["7", "8", "9"]
    with pytest.raises(HistoryError, match=r"rows\.parquet has no row since 2013-03-01T01:00:00Z"):
        open_history(model_of(tmp_path), tmp_path / "rows.parquet", since=since + 53 * 60_000_000)


def test_the_topic_whose_next_row_is_earlier_is_read_first(tmp_path: Path) -> None:
    rows = frame(0, 4, label=1.0)
    rows["known"] = rows["ts"] + pd.Timedelta(minutes=2)
    rows.to_parquet(tmp_path / "rows.parquet")
    history = open_history(model_of(tmp_path), tmp_path / "rows.parquet", label_time="known")
    consumer = history.consumer(None, client_id="", max_poll_records=1)  # type: ignore[arg-type]
    consumer.assign({TopicPartition("predictions", 0): 0, TopicPartition("labels", 0): 0})
    order: list[str] = []
    while found := consumer.poll(0):
        order += [at.topic[0] for at in found]
    assert "".join(order) == "pplplpll"


def test_a_paused_partition_gives_nothing_and_goes_on_from_where_it_is_put(tmp_path: Path) -> None:
    frame(0, 4).to_parquet(tmp_path / "rows.parquet")
    consumer = open_history(model_of(tmp_path), tmp_path / "rows.parquet").consumer(
        None,  # type: ignore[arg-type]
        client_id="",
        max_poll_records=3,
    )
    at = TopicPartition("predictions", 0)
    consumer.assign({at: 0})
    consumer.pause([at])
    assert consumer.poll(0) == {}
    assert consumer.paused() == {at}
    consumer.resume([at])
    assert len(consumer.poll(0)[at]) == 3
    assert (consumer.passed(at), consumer.left({at: 3})) == (3, 1)
    consumer.seek(at, 2)
    assert [record.offset for record in consumer.poll(0)[at]] == [2, 3]


@pytest.mark.parametrize(
    ("change", "changes", "complaint"),
    [
        ({"id": None}, {}, "no column 'id', which predictions.fields.id leads to: name it in reference.fields"),
        ({"ts": None}, {}, "no column 'ts', which predictions.fields.timestamp leads to"),
        ({"ts": 5}, {}, "'ts' holds int64, which does not go with timestamp_unit: say whether they count s, ms"),
        (
            {},
            {"predictions": {"topic": "p", "fields": {"timestamp": None}}},
            "predictions.fields.timestamp is null: name the files' event times in reference.fields",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, change: dict[str, object], changes: dict[str, Any], complaint: str
) -> None:
    rows = frame(0, 1)
    for name, value in change.items():
        rows = rows.drop(columns=name) if value is None else rows.assign(**{name: value})
    rows.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(HistoryError) as error:
        open_history(model_of(tmp_path, **changes), tmp_path / "rows.parquet")
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ([], "history has no file that ends in .parquet"),
        (["broken.parquet"], "broken.parquet cannot be read: "),
        (None, "history does not exist"),
    ],
)
def test_a_folder_without_history_is_refused(tmp_path: Path, files: Sequence[str] | None, complaint: str) -> None:
    folder = tmp_path / "history"
    for name in files or ():
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no parquet")
    if files == []:
        folder.mkdir()
    with pytest.raises(HistoryError) as error:
        open_history(model_of(tmp_path), folder)
    assert complaint in str(error.value)
