"""The effective watermark, case by case, under both clocks."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import Connection

from daemon.store import positions, watermarks
from daemon.store.positions import Partition, Position
from daemon.store.watermarks import Known, combine
from detectors.instants import MINUTE
from tests.unit.store.tables import put_position

DELAY = 10 * MINUTE
T = 1_000 * MINUTE
CHECKPOINT = 20


@dataclass(frozen=True)
class P:
    """A partition in minutes after T: the model's own highest event and last record, anyone's, and the ends."""

    own: int | None = None
    own_record: int | None = None
    topic: int | None = None
    record: int | None = None
    next: int | None = 100
    end: int | None = None
    attested: int | None = None
    run_end: int | None = None
    furthest: int = 0

    def known(self) -> Known:
        def at(minutes: int | None) -> int | None:
            return None if minutes is None else T + minutes * MINUTE

        partition = Partition(
            "c", "t", "i", 0, at(self.record), at(self.topic), self.end, 1, self.attested, self.run_end
        )
        if self.next is None:
            return Known(partition, None, self.furthest)
        position = Position("m", "predictions", "c", "t", "i", 0, self.next, at(self.own), at(self.own_record))
        return Known(partition, position, self.furthest)


def busy(own: int, **more: int) -> P:
    """A partition that is this model's alone and still has rows to read."""
    return P(own=own, own_record=own, topic=own, record=own, **more)


CASES = [
    ("one busy partition", "both", [busy(60)], 50),
    ("the minimum of two", "both", [busy(60), busy(30)], 20),
    ("a partition never read is unknown", "both", [busy(60), P(next=0)], None),
    ("a partition without a position is unknown", "both", [busy(60), P(next=None)], None),
    ("nothing known", "both", [], None),
    # Idle partitions under wall clock.
    ("idle and attested leaves", "wall", [busy(60), busy(5, next=9, end=9, attested=20)], 50),
    ("attested three checkpoints ago still leaves", "wall", [busy(60), busy(5, next=9, end=9, attested=17)], 50),
    ("attested four checkpoints ago does not", "wall", [busy(60), busy(5, next=9, end=9, attested=16)], -5),
    ("attested, but not at its end", "wall", [busy(60), busy(5, next=8, end=9, attested=20)], -5),
    ("an empty one that is attested leaves", "wall", [busy(60), P(next=0, end=0, attested=20)], 50),
    ("all idle: the highest", "wall", [busy(60, next=9, end=9, attested=20), busy(5, next=9, end=9, attested=20)], 50),
    ("all empty", "wall", [P(next=0, end=0, attested=20)], None),
    # The run's end lets a partition go, and under event clock nothing else does.
    ("attested counts for nothing", "event", [busy(60), busy(5, next=9, end=9, attested=20)], -5),
    ("read to the run's end", "both", [busy(60), busy(5, next=9, run_end=9)], 50),
    ("read beyond the run's end", "both", [busy(60), busy(5, next=10, run_end=9)], 50),
    ("not yet at the run's end", "both", [busy(60), busy(5, next=8, run_end=9)], -5),
    ("all at the run's end: the end of the data, no delay", "both", [busy(60, next=9, run_end=9)], 60),
    # A shared topic in which this model is quiet.
    ("quiet for the delay", "event", [P(own=20, topic=30, own_record=90, record=91)], 20),
    ("quiet for less", "event", [P(own=20, topic=29, own_record=90, record=120)], 10),
    ("never a row of this model", "event", [P(topic=30, record=91)], 20),
    ("quiet by record timestamps", "wall", [P(own=20, topic=500, own_record=90, record=100)], 90),
    ("quiet by record timestamps for less", "wall", [P(own=20, topic=500, own_record=90, record=99)], 10),
    ("never a row of this model, by record", "wall", [P(topic=30, record=91)], 81),
    # What others have read says nothing of a model that has yet to read it: its own rows may be among it.
    ("not quiet but behind the others", "both", [P(own=20, own_record=20, topic=90, record=90, furthest=101)], 10),
    ("behind the others with no row yet", "both", [P(topic=90, record=90, next=0, furthest=100)], None),
    ("caught up with the others", "both", [P(own=20, own_record=20, topic=90, record=90, furthest=100)], 80),
    ("a quiet model's watermark is never below its own", "wall", [P(own=95, topic=95, own_record=90, record=100)], 90),
]


@pytest.mark.parametrize(
    ("clock", "partitions", "expected"),
    [
        pytest.param(clock, partitions, expected, id=f"{name}, {clock}")
        for name, clocks, partitions, expected in CASES
        for clock in (("wall", "event") if clocks == "both" else (clocks,))
    ],
)
def test_the_effective_watermark(clock: watermarks.Clock, partitions: list[P], expected: int | None) -> None:
    found = combine([p.known() for p in partitions], clock, DELAY, CHECKPOINT)

    assert found == (None if expected is None else T + expected * MINUTE)


def put(conn: Connection, topic: str, partition: int, minutes: int | None, *, role: str = "predictions") -> None:
    at = None if minutes is None else T + minutes * MINUTE
    positions.save_partitions(conn, [Partition("c", topic, "i", partition, at, at)])
    if minutes is not None:
        put_position(conn, Position("m", role, "c", topic, "i", partition, 9, at, at))


def effective(conn: Connection, *topics: str, role: str = "predictions") -> int | None:
    found = watermarks.effective_watermark(conn, "m", topics=topics, clock="wall", watermark_delay=DELAY, role=role)
    return None if found is None else (found - T) // MINUTE


def test_every_partition_of_every_topic_counts(conn: Connection) -> None:
    put(conn, "a", 0, 60)
    assert effective(conn, "a") == 50
    assert effective(conn, "a", "b") is None, "a topic that has no partition yet"

    put(conn, "b", 0, 40)
    put(conn, "unrelated", 0, 1)
    assert effective(conn, "a", "b") == 30

    put(conn, "b", 1, None)
    assert effective(conn, "a", "b") is None, "a partition that the model has not begun"


def test_it_never_goes_back(conn: Connection) -> None:
    put(conn, "a", 0, 60)
    watermarks.advance_watermark(conn, "m", T + 50 * MINUTE)
    watermarks.advance_watermark(conn, "m", T + 45 * MINUTE)
    put(conn, "a", 1, 30)

    assert effective(conn, "a") == 50


def test_labels_have_their_own(conn: Connection) -> None:
    put(conn, "a", 0, 60)
    put(conn, "l", 0, 90, role="labels")
    watermarks.advance_watermark(conn, "m", T, "labels")
    watermarks.advance_watermark(conn, "m", T + MINUTE * 55)

    assert effective(conn, "l", role="labels") == 80
    assert effective(conn, "a") == 55


def test_what_time_it_is_for_a_model(conn: Connection) -> None:
    def now() -> int | None:
        found = watermarks.event_now(conn, "m", prediction_topics=["a"], label_topics=["l"])
        return None if found is None else (found - T) // MINUTE

    put(conn, "a", 0, 60)
    assert now() is None, "the label topic is not known yet"
    put(conn, "l", 0, 90, role="labels")
    assert now() == 60

    # When the predictions are read to the run's end, only the labels count; then the end of the data.
    at = T + 60 * MINUTE
    positions.save_partitions(conn, [Partition("c", "a", "i", 0, at, at, run_end_offset=9)])
    assert now() == 90
    at = T + 90 * MINUTE
    positions.save_partitions(conn, [Partition("c", "l", "i", 0, at, at, run_end_offset=9)])
    assert now() == 90


def test_a_model_that_is_behind_the_others_has_its_own_watermark_and_time(conn: Connection) -> None:
    # Given a model that has read a topic up to minute 60, and another that has only begun
    put(conn, "a", 0, 60)
    put_position(conn, Position("new", "predictions", "c", "a", "i", 0, 3, T, T))

    def of(model: str) -> tuple[int | None, int | None]:
        marks = watermarks.effective_watermark(conn, model, topics=["a"], clock="event", watermark_delay=DELAY)
        return marks, watermarks.event_now(conn, model, prediction_topics=["a"])

    # Then the new one's windows are not due before their rows are read
    assert of("m") == (T + 50 * MINUTE, T + 60 * MINUTE)
    assert of("new") == (T - DELAY, T)
    # And when it has read all that the other has, the other's rows count for it as well
    put_position(conn, Position("new", "predictions", "c", "a", "i", 0, 9, T, T))
    assert of("new") == (T + 50 * MINUTE, T + 60 * MINUTE)
