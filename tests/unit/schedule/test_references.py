"""Given a reference file, what becomes of its model: running, waiting with a reason, a new version."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from daemon.config.settings import Model
from daemon.schedule.reading import event_times, read_reference, usual_gap
from daemon.schedule.references import local_path, read_request
from daemon.schedule.workers import WorkerPool
from daemon.store import panes, references, specs, sqlite, status, usual
from detectors.columns import ColumnType
from detectors.errors import ReferenceRejected, UnusableEventTime
from detectors.instants import DAY, HOUR, MINUTE, parse_rfc3339
from detectors.quality.requests import Catalogue
from detectors.reference import Reference
from tests.unit.schedule.world import MODEL, START, World, orders, world


def model(**changes: Any) -> Model:
    predictions = {"topic": "orders"} | changes.pop("predictions", {})
    return Model.model_validate({"predictions": predictions, "reference": {"uri": "r.parquet"}, **changes})


def state(made: World) -> status.ModelState:
    with made.store.read() as conn:
        return status.model_states_by_name(conn)[MODEL]


def test_a_usable_reference_runs_its_model_from_the_first_pane(tmp_path: Path, pool: WorkerPool) -> None:
    with world(tmp_path, pool) as made, made.store.read() as conn:
        assert state(made).state == "running"
        reference = references.current(conn, MODEL)
        assert reference is not None
        (activation,) = specs.active(conn, MODEL)
        assert activation.from_pane == 0
        gap = usual.gap(conn, reference)
        assert gap is not None
        assert gap < 10 * MINUTE


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.write_bytes(b"PAR1 no"), "cannot be read"),
        (lambda path: (path.unlink(), path.mkdir()), "reference.parquet is a folder: name one file in it"),
        (lambda path: pd.DataFrame(index=[1, 2]).to_parquet(path), "reference.parquet has no column"),
        (lambda path: orders(-1, 1, seed=1)[:0].to_parquet(path), "no rows"),
        (lambda path: orders(-1, 1, seed=1).drop(columns="prediction").to_parquet(path), "no column 'prediction'"),
        (lambda path: orders(-1, 1, seed=1).drop(columns="amount").to_parquet(path), "no column 'amount'"),
    ],
)
def test_a_model_waits_with_the_reason_and_is_tried_again_each_minute(
    tmp_path: Path, pool: WorkerPool, spoil: Any, reason: str
) -> None:
    # Given a reference that cannot be used
    with world(tmp_path, pool, {"columns": {"important": "amount"}}):
        pass
    (tmp_path / "driftd.db").unlink()
    reference = tmp_path / "reference.parquet"
    sound = reference.read_bytes()
    spoil(reference)
    with world(tmp_path, pool, {"columns": {"important": "amount"}}) as made:
        # Then
        assert state(made).state == "waiting"
        assert reason in state(made).reason
        assert made.references.unusable() == [MODEL]
        # When it is there again
        if reference.is_dir():
            reference.rmdir()
        reference.write_bytes(sound)
        made.references.refresh(made.wall + MINUTE)
        # Then
        assert (state(made).state, state(made).reason) == ("running", "")
        assert made.references.unusable() == []


def test_a_method_for_columns_of_another_type_is_named_with_those_that_would_do(
    tmp_path: Path, pool: WorkerPool
) -> None:
    # Given a method for numbers, and a column whose type the configuration does not tell
    overrides = {"kind": {"method": "evidently:mannw"}, "amount": {"method": "ks"}}
    with world(tmp_path, pool, {"columns": {"overrides": overrides}}) as made:
        # Then the file is what shows that they do not fit
        assert state(made).state == "waiting"
        assert state(made).reason.startswith(
            "the reference cannot be used: columns.overrides.kind.method: evidently:mannw is for numeric columns, and "
            "'kind' is categorical ("
        )
        assert "for those are auto, psi, jensenshannon, kl_div, chisquare," in state(made).reason


def test_a_store_that_cannot_be_written_is_no_fault_of_the_reference(
    tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    with world(tmp_path, pool) as made:
        orders(-30, 30, seed=2).to_parquet(tmp_path / "reference.parquet")
        before = state(made)
        with made.store.read() as conn:
            first = references.current(conn, MODEL)
        # Given another program that has the store locked while the file is read
        with contextlib.closing(sqlite3.connect(made.store.path, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            made.references.refresh(made.wall)
            assert made.references.has_waited
            assert made.references.unusable() == []
            stranger.execute("ROLLBACK")
        assert state(made) == before
        # When it is asked for again, at once
        made.references.refresh(made.wall)
        # Then
        assert not made.references.has_waited
        with made.store.read() as conn:
            assert references.current(conn, MODEL) != first


def test_a_changed_file_is_a_new_version_from_the_pane_after_the_last_counted(tmp_path: Path, pool: WorkerPool) -> None:
    with world(tmp_path, pool) as made:
        made.predict(orders(0, 1, seed=2))
        with made.store.read() as conn:
            first = references.current(conn, MODEL)
            last_pane = max(pane.pane_start for pane in panes.pane_rows(conn, MODEL))
        # When another reference stands there
        orders(-20, 20, seed=9).to_parquet(tmp_path / "reference.parquet")
        made.references.refresh(made.wall + 1)
        # Then
        with made.store.read() as conn:
            assert references.current(conn, MODEL) != first
            before, after = specs.active(conn, MODEL)
        assert before.spec_hash != after.spec_hash
        assert after.from_pane == last_pane + HOUR


def test_the_same_content_again_changes_nothing(tmp_path: Path, pool: WorkerPool) -> None:
    with world(tmp_path, pool) as made:
        made.predict(orders(0, 1, seed=2))
        path = tmp_path / "reference.parquet"
        path.write_bytes(path.read_bytes())
        made.references.refresh(made.wall + 1)
        with made.store.read() as conn:
            assert len(specs.active(conn, MODEL)) == 1


def test_a_restart_reads_only_what_has_changed(tmp_path: Path, pool: WorkerPool) -> None:
    path = tmp_path / "reference.parquet"
    with world(tmp_path, pool) as made:
        first = state(made)
    # Given a file of the same size and time, whatever is in it
    found = path.stat()
    path.write_bytes(bytes(found.st_size))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    with world(tmp_path, pool) as made:
        # Then it is not looked into
        assert state(made) == first
        # but a configuration that the reference depends on makes it be read
    with world(tmp_path, pool, {"window": {"size": "2d"}}) as made:
        assert "reference.parquet cannot be read" in state(made).reason
    # and so does a time of its own
    path.touch()
    with world(tmp_path, pool) as made:
        assert "reference.parquet cannot be read" in state(made).reason


def test_a_bad_new_file_leaves_the_last_good_one_in_force(tmp_path: Path, pool: WorkerPool) -> None:
    with world(tmp_path, pool) as made:
        (tmp_path / "reference.parquet").write_bytes(b"half a copy")
        made.references.refresh(made.wall + 1)
        assert state(made).state == "running"
        assert "the last good one goes on" in state(made).reason
        assert made.references.unusable() == []


def test_the_files_columns_go_by_the_last_part_of_the_messages_paths() -> None:
    request = read_request(
        model(
            predictions={
                "fields": {"timestamp": "meta.at", "prediction": "out.yhat", "features": ["in.amount", "in.kind"]}
            },
            segments={"by": ["kind"]},
        ),
        Path("r.parquet"),
    )
    assert (request.timestamp, request.prediction, request.features) == ("at", "yhat", ("amount", "kind"))
    assert request.required == ("amount", "kind")


def test_names_given_for_the_file_come_first_and_must_be_there() -> None:
    request = read_request(
        model(
            labels={"topic": "labels"},
            task="regression",
            reference={"uri": "r.parquet", "fields": {"timestamp": "when", "label": "truth"}},
        ),
        Path("r.parquet"),
    )
    assert (request.timestamp, request.label, request.features) == ("when", "truth", None)
    assert request.required == ("truth", "when")


@pytest.mark.parametrize("name", ["objects.parquet", "texts.csv"])
def test_probabilities_by_class_are_read_from_objects_and_from_text(tmp_path: Path, name: str) -> None:
    # Given a labelled reference of a multiclass model in either form
    shares = {"cat": 0.75, "dog": 0.25}
    frame = pd.DataFrame({"x": range(60), "prediction": "cat", "label": ["cat", "dog"] * 30, "score": [shares] * 60})
    if name.endswith(".csv"):
        frame.assign(score=json.dumps(shares)).to_csv(tmp_path / name, index=False)
    else:
        frame.to_parquet(tmp_path / name)
    asked = model(
        task="multiclass",
        labels={"topic": "labels"},
        predictions={"fields": {"scores": "out.score"}},
        reference={"uri": name},
    )
    # When
    built = Reference.from_bytes(read_reference(read_request(asked, tmp_path / name)).body)
    # Then they are no feature, and what the usual quality is measured by
    assert [column.name for column in built.columns] == ["x", "prediction"]
    assert built.classes == ("cat", "dog")
    assert built.quality["brier"].value == pytest.approx((0.125 + 1.125) / 2)


@pytest.mark.parametrize("name", ["lists.parquet", "texts.csv"])
def test_lists_are_read_from_lists_and_from_text(tmp_path: Path, name: str) -> None:
    # Given a recommender's reference in either form: two lists, and who took one item, two or none
    lists, taken = [["a", "b"], ["b", "c", "d"]] * 60, [["a"], ["c", "d"], None] * 40
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(120)], "x": range(120), "items": lists, "label": taken})
    if name.endswith(".csv"):
        texts = {"items": [json.dumps(items) for items in lists], "label": ["a", '["c", "d"]', None] * 40}
        frame.assign(**texts).to_csv(tmp_path / name, index=False)
    else:
        frame.to_parquet(tmp_path / name)
    asked = model(
        task="recommendation",
        labels={"topic": "labels"},
        predictions={"fields": {"prediction": "items"}},
        reference={"uri": name},
        k=2,
    )
    # When
    request = read_request(asked, tmp_path / name)
    built = Reference.from_bytes(read_reference(request).body)
    # Then a drawn item and the length stand for the list, whatever the order of the rows
    assert {column.name: column.type for column in built.columns} == {
        "x": ColumnType.NUMERIC, "prediction": ColumnType.CATEGORICAL, "prediction.length": ColumnType.NUMERIC,
    }  # fmt: skip
    assert built.profile.present("prediction") == 120
    assert set(built.layout.column("prediction").vocabulary) == {"a", "b", "c", "d"}  # type: ignore[union-attr]
    # and the catalogue and the usual quality are those of the first k items
    assert built.catalogue == Catalogue({"a": 60, "b": 120, "c": 60}, 120, 0.5)
    assert 0 < built.quality["ndcg"].value < 1
    assert built.hash != read_reference(replace(request, k=3)).hash


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"x": [1.0]}, "has no column 'items' of the lists that were shown"),
        ({"items": ["no list"]}, "has no list of items in its column 'items'"),
        ({"items": ['["a"]'], "prediction.length": [1]}, "has a column 'prediction.length', the name of one"),
    ],
)
def test_a_recommenders_reference_without_lists_says_so(
    tmp_path: Path, columns: dict[str, list[object]], reason: str
) -> None:
    pd.DataFrame(columns).to_csv(tmp_path / "r.csv", index=False)
    asked = model(task="recommendation", predictions={"fields": {"prediction": "items"}})
    with pytest.raises(ReferenceRejected, match=reason):
        read_reference(read_request(asked, tmp_path / "r.csv"))


def test_a_uri_is_a_path_or_a_file_url() -> None:
    assert local_path("/data/r.parquet") == Path("/data/r.parquet")
    assert local_path("file:///data/r%20r.csv") == Path("/data/r r.csv")


NOON = parse_rfc3339("2013-03-01T12:00:00Z")


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (["2013-03-01T12:00:00Z"], "rfc3339"),
        (["2013-03-01T13:00:00+01:00"], "s"),
        ([pd.Timestamp("2013-03-01T12:00")], "rfc3339"),
        ([pd.Timestamp("2013-03-01T21:00", tz="Asia/Seoul")], "rfc3339"),
        ([NOON // 1_000_000], "s"),
        ([NOON // 1_000], "ms"),
        ([NOON], "us"),
        ([NOON * 1_000], "ns"),
        ([NOON / 1_000_000], "s"),
    ],
)
def test_event_times_are_read_as_they_are_stored(values: list[object], unit: str) -> None:
    assert event_times(pd.Series(values, name="ts"), unit).tolist() == [NOON]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["2013-03-01T12:00:00Z", None], "1 rows have no value in 'ts'"),
        ([1362139200], "holds numbers, but predictions.timestamp_unit is rfc3339"),
        (["at noon"], "holds what is no time"),
    ],
)
def test_event_times_that_cannot_be_read_say_why(values: list[object], reason: str) -> None:
    with pytest.raises(UnusableEventTime, match=reason):
        event_times(pd.Series(values, name="ts"), "rfc3339")


def test_the_usual_gap_counts_nights_and_weekends_but_no_single_outage() -> None:
    hours = np.arange(90 * 24)
    awake = hours[(hours % 24 >= 6) & ((hours // 24 < 40) | (hours // 24 >= 43))]
    assert usual_gap(START + awake * HOUR) == 7 * HOUR
    working = hours[(hours % 24 >= 6) & (hours // 24 % 7 < 5)]
    assert usual_gap(START + working * HOUR) == 2 * DAY + 7 * HOUR
    assert usual_gap(np.array([START])) is None
