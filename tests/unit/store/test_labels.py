"""The join of predictions and labels, against a plain model of it that knows no SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from daemon.store import Store, books, labels, names, predictions
from daemon.store.schema import predictions as prediction_table
from detectors.instants import HOUR
from tests.unit.store.tables import rolled_back

TOP = 2**64 - 1


@dataclass(frozen=True)
class Prediction:
    id: int
    time: int
    offset: int
    value: float | str | None = 1.0
    version: str = "7"
    segments: str = "{}"
    score: float | None = None


@dataclass(frozen=True)
class Label:
    id: int
    time: int
    offset: int
    value: float | str | None = 1.0


def predict(conn: Connection, *rows: Prediction, limit: int = 100, model: str = "m") -> None:
    predictions.add_predictions(
        conn,
        model,
        id_hash=[row.id for row in rows],
        event_time=[row.time for row in rows],
        partition=[0] * len(rows),
        offset=[row.offset for row in rows],
        version=[row.version for row in rows],
        prediction=[row.value for row in rows],
        segments=[row.segments for row in rows],
        score=[row.score for row in rows],
        pane=HOUR,
        limit=limit,
    )


def label(conn: Connection, *rows: Label, settled: int | None = None, model: str = "m") -> None:
    labels.add_labels(
        conn,
        model,
        id_hash=[row.id for row in rows],
        time=[row.time for row in rows],
        partition=[0] * len(rows),
        offset=[row.offset for row in rows],
        label=[row.value for row in rows],
        settled=settled,
    )


def pairs(conn: Connection, start: int = 0, end: int = 100 * HOUR) -> list[tuple[object, object]]:
    found = labels.joined(conn, "m", start, end)
    return sorted(zip(found.prediction, found.label, strict=True), key=repr)


def counts(conn: Connection) -> dict[str, int]:
    assert books.check(conn) == []
    return {name: value for name, value in books.books(conn).get("m", {}).items() if value}


def test_a_joined_row_has_everything_that_a_metric_needs(conn: Connection) -> None:
    predict(
        conn,
        Prediction(TOP, 5, 0, 0.25, "7", '{"origin":"JFK"}', 0.8),
        Prediction(0, HOUR, 1, 0.5, "8", '{"origin":"LGA"}'),
        Prediction(9, 3, 2),
    )
    label(conn, Label(TOP, 7, 0, 0.75), Label(0, 8, 1, 1.5), Label(77, 8, 2))

    found = labels.joined(conn, "m", 0, HOUR)
    assert (found.version, found.prediction, found.score, found.label) == (["7"], [0.25], [0.8], [0.75])
    assert (found.segments, found.expected, len(found)) == (['{"origin":"JFK"}'], 2, 1)
    later = labels.joined(conn, "m", HOUR, 2 * HOUR)
    assert (later.version, later.prediction, later.score, later.label) == (["8"], [0.5], [None], [1.5])
    assert labels.coverage(conn, "m", 0, 2 * HOUR).joined == 2
    assert labels.coverage(conn, "m", 0, 2 * HOUR).predictions == 3
    assert len(labels.joined(conn, "nobody", 0, HOUR)) == 0


def test_texts_and_numbers_come_back_as_they_went_in(conn: Connection) -> None:
    predict(conn, Prediction(1, 1, 1, "cat"), Prediction(2, 1, 2, 0.5), Prediction(3, 1, 3, None))
    label(conn, Label(1, 1, 1, "dog"), Label(2, 1, 2, 2), Label(3, 1, 3, "1"))

    assert pairs(conn) == [("cat", "dog"), (0.5, 2.0), (None, "1")]


def test_a_label_before_its_prediction_joins_all_the_same(conn: Connection) -> None:
    label(conn, Label(1, 10, 1))
    assert pairs(conn) == []
    predict(conn, Prediction(1, 5, 1))

    assert pairs(conn) == [(1.0, 1.0)]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("together", [True, False])
def test_of_several_predictions_the_earliest_counts(conn: Connection, order: Sequence[int], *, together: bool) -> None:
    rows = [Prediction(1, 5, 9, 5.0), Prediction(1, 5, 11, 6.0), Prediction(1, 2 * HOUR, 1, 7.0)]
    chosen = [rows[place] for place in order]
    for batch in [chosen] if together else [[row] for row in chosen]:
        predict(conn, *batch)
    label(conn, Label(1, 6, 1))

    assert pairs(conn) == [(5.0, 1.0)]
    assert counts(conn)["predictions_superseded"] == 2
    assert labels.coverage(conn, "m", 2 * HOUR, 3 * HOUR).predictions == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("together", [True, False])
def test_of_several_labels_the_latest_counts(conn: Connection, order: Sequence[int], *, together: bool) -> None:
    predict(conn, Prediction(1, 1, 1))
    rows = [Label(1, 5, 99, 5.0), Label(1, 9, 2, 6.0), Label(1, 9, 3, 7.0)]
    chosen = [rows[place] for place in order]
    for batch in [chosen] if together else [[row] for row in chosen]:
        label(conn, *batch)

    assert pairs(conn) == [(1.0, 7.0)]
    assert counts(conn) == {"labels": 3, "waiting": 1, "superseded": 2, "offered": 1, "awaiting": 1}


def test_a_corrected_label_changes_the_fingerprint_and_not_the_number(conn: Connection) -> None:
    predict(conn, Prediction(1, 1, 1))
    label(conn, Label(1, 5000, 1, 5.0))
    before = labels.coverage(conn, "m", 0, HOUR)
    label(conn, Label(1, 6000, 2, 6.0))
    after = labels.coverage(conn, "m", 0, HOUR)

    assert before.joined == after.joined == 1
    assert before.fingerprint != after.fingerprint


def test_a_pane_keeps_the_lowest_hashes_when_it_brings_too_many(conn: Connection) -> None:
    step = 2**64 // 64
    rows = [Prediction(i * step, i, i) for i in range(64)]
    predict(conn, *rows[:40:2], limit=16)
    assert predictions.threshold(conn, "m", 0) == 2**63
    predict(conn, *rows[1:40:2], limit=16)
    predict(conn, *rows[40:], limit=16)

    assert predictions.threshold(conn, "m", 0) == 2**62
    assert predictions.threshold(conn, "m", HOUR) == predictions.threshold(conn, "other", 0) == 2**64
    assert counts(conn) == {"offered": 64, "awaiting": 16, "predictions_thinned": 48}


@given(
    ids=st.lists(st.integers(0, TOP), min_size=1, max_size=60, unique=True),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_what_is_kept_depends_on_the_rows_and_not_on_their_order(engine, ids, cuts, order) -> None:  # type: ignore[no-untyped-def]
    rows = [Prediction(number, 1, place) for place, number in enumerate(ids)]

    def kept(batches: list[list[Prediction]]) -> tuple[set[int], int]:
        with rolled_back(engine) as conn:
            for batch in batches:
                predict(conn, *batch, limit=8)
            assert books.check(conn) == []
            found = set(conn.scalars(select(prediction_table.c.id_hash)))
            return found, predictions.threshold(conn, "m", 0)

    shuffled = order.sample(rows, len(rows))
    edges = [0, *sorted(cuts), len(rows)]
    batches = [shuffled[a:b] for a, b in pairwise(edges)]
    assert kept(batches) == kept([rows])
    assert len(kept([rows])[0]) <= 8


def test_a_settled_label_obeys_the_loosest_open_pane(conn: Connection) -> None:
    low, high = 5, TOP - 5
    predict(
        conn, *(Prediction(i, 1, i) for i in range(8)), *(Prediction(TOP - i, 1, 50 + i) for i in range(4)), limit=8
    )
    assert predictions.loosest_threshold(conn, "m") == 2**63
    label(conn, Label(low, 10, 1), Label(high, 10, 2), Label(high - 1, 20, 3), settled=20)
    assert counts(conn)["thinned"] == 1, "the high one before the settled instant"

    # A pane that keeps everything may hold any id.
    predict(conn, Prediction(high - 2, HOUR, 99))
    assert predictions.loosest_threshold(conn, "m") == 2**64
    label(conn, Label(high - 2, 10, 4), settled=20)
    assert counts(conn)["thinned"] == 1


def test_labels_are_joined_once_an_evaluation_has_used_them(conn: Connection) -> None:
    predict(conn, Prediction(1, 1, 1), Prediction(2, HOUR, 2))
    label(conn, Label(1, 5, 1), Label(2, 5, 2), Label(3, 5, 3))

    assert labels.mark_joined(conn, "m", 0, HOUR) == 1
    assert labels.mark_joined(conn, "m", 0, 2 * HOUR) == 1
    assert labels.mark_joined(conn, "m", 0, 2 * HOUR) == 0
    label(conn, Label(1, 6, 4))

    assert counts(conn) == {
        "labels": 4,
        "waiting": 1,
        "joined": 2,
        "superseded": 1,
        "offered": 2,
        "awaiting": 2,
    }


def test_what_no_window_needs_any_more_expires(conn: Connection) -> None:
    predict(conn, *(Prediction(i, 0, i) for i in range(4)), Prediction(9, HOUR, 9))
    label(conn, *(Label(i, 5, i) for i in range(2)), Label(9, 5, 9), Label(77, 5, 77), Label(78, 2 * HOUR, 78))
    labels.mark_joined(conn, "m", 0, HOUR)
    label(conn, Label(2, 5, 10))

    labels.expire(conn, "m", HOUR)

    assert counts(conn) == {
        "labels": 6,
        "waiting": 2,  # of the prediction still there, and one of a later time
        "joined": 2,
        "expired": 2,  # came after the last evaluation, and never had a prediction
        "offered": 5,
        "awaiting": 1,
        "predictions_labelled": 3,
        "predictions_unlabelled": 1,
    }
    assert pairs(conn) == [(1.0, 1.0)]
    labels.expire(conn, "m", HOUR)
    labels.expire(conn, "nobody", HOUR)
    assert counts(conn)["labels"] == 6


def test_models_do_not_meet(conn: Connection) -> None:
    predict(conn, Prediction(1, 1, 1))
    label(conn, Label(1, 1, 1), model="other")

    assert pairs(conn) == []
    assert labels.coverage(conn, "other", 0, HOUR).predictions == 0


def test_columns_of_different_lengths_are_refused(conn: Connection) -> None:
    with pytest.raises(ValueError, match="different lengths"):
        labels.add_labels(conn, "m", id_hash=[1, 2], time=[1, 2], partition=[0, 0], offset=[1], label=[1.0, 2.0])
    with pytest.raises(ValueError, match="different lengths"):
        predictions.add_predictions(
            conn,
            "m",
            id_hash=[1],
            event_time=[1],
            partition=[0],
            offset=[1],
            version=[],
            prediction=[1.0],
            segments=["{}"],
            pane=HOUR,
        )


def test_an_empty_batch_is_nothing(conn: Connection) -> None:
    predict(conn)
    label(conn)
    assert books.books(conn) == {}


@dataclass
class PlainJoin:
    """The rules of the join in plain Python."""

    predictions: dict[int, Prediction] = field(default_factory=dict)
    labels: dict[int, Label] = field(default_factory=dict)

    def predict(self, row: Prediction) -> None:
        old = self.predictions.get(row.id)
        if old is None or (row.time, row.offset) < (old.time, old.offset):
            self.predictions[row.id] = row

    def label(self, row: Label) -> None:
        old = self.labels.get(row.id)
        if old is None or (row.time, row.offset) > (old.time, old.offset):
            self.labels[row.id] = row

    def pairs(self, start: int, end: int) -> Iterator[tuple[object, object]]:
        for row in self.predictions.values():
            if start <= row.time < end and row.id in self.labels:
                yield row.value, self.labels[row.id].value


ID = st.integers(0, 12).map(lambda number: number * (TOP // 12))
TIME = st.integers(0, 4 * HOUR - 1)
PREDICTION = st.builds(Prediction, ID, TIME, st.integers(0, 10**6), st.floats(0, 1))
LABEL = st.builds(Label, ID, TIME, st.integers(0, 10**6), st.floats(0, 1))
STEP = st.one_of(
    st.tuples(st.just("predict"), st.lists(PREDICTION, max_size=6, unique_by=lambda row: row.offset)),
    st.tuples(st.just("label"), st.lists(LABEL, max_size=6, unique_by=lambda row: row.offset)),
    st.tuples(st.just("evaluate"), st.integers(0, 3)),
)


@given(steps=st.lists(STEP, max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_order_of_events_joins_like_the_plain_rules(engine, steps) -> None:  # type: ignore[no-untyped-def]
    plain = PlainJoin()
    seen: set[tuple[str, int]] = set()
    with rolled_back(engine) as conn:
        for kind, what in steps:
            if kind == "evaluate":
                labels.mark_joined(conn, "m", what * HOUR, (what + 1) * HOUR)
            else:
                # An offset is read once.
                rows = [row for row in what if (kind, row.offset) not in seen]
                seen |= {(kind, row.offset) for row in rows}
                for row in rows:
                    getattr(plain, kind)(row)
                predict(conn, *rows) if kind == "predict" else label(conn, *rows)
            assert books.check(conn) == []
        for start in range(4):
            window = (start * HOUR, (start + 2) * HOUR)
            assert pairs(conn, *window) == sorted(plain.pairs(*window), key=repr)
            assert labels.coverage(conn, "m", *window).predictions == sum(
                window[0] <= row.time < window[1] for row in plain.predictions.values()
            )


def test_a_name_that_a_rollback_took_back_is_numbered_anew(store: Store) -> None:
    with suppress(RuntimeError), store.write() as conn:
        names.intern(conn, {"gone"})
        raise RuntimeError
    with store.write() as conn:
        other = names.intern(conn, {"other"})
        both = names.intern(conn, {"gone", "other"})
    assert both["other"] == other["other"] != both["gone"]


def test_texts_are_those_of_lowest_hash_by_version(conn: Connection) -> None:
    texts = [Prediction(id, 5, id, f'["a",{{"a":{id}}}]', version="7" if id % 2 else "8") for id in range(10)]
    predict(conn, *texts, Prediction(90, HOUR + 5, 1, "later"), Prediction(91, 5, 2, 3.0))
    predict(conn, Prediction(0, 5, 1, "another model's"), model="n")
    assert predictions.texts(conn, "m", 0, HOUR, limit=6) == {
        "7": tuple(f'["a",{{"a":{id}}}]' for id in (1, 3, 5)),
        "8": tuple(f'["a",{{"a":{id}}}]' for id in (0, 2, 4)),
    }
    assert predictions.texts(conn, "nobody", 0, HOUR, limit=6) == {}
