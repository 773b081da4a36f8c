"""The sentence about features that no column has: how long it stays, and how long it gets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.store import Store, status
from daemon.stream.unknown_features import UnknownFeatures
from detectors.instants import HOUR, MINUTE, Micros
from tests.unit.stream.world import START


class Undone(Exception):
    """What a transaction fails by."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.db", writer=True) as opened:
        yield opened


def said(store: Store) -> dict[str, str]:
    with store.read() as conn:
        return {note.key: note.sentence for note in status.load_notes(conn)}


def write(unknown: UnknownFeatures, store: Store, now: Micros, **found: list[str]) -> None:
    """What a checkpoint does that gets through."""
    for model, names in found.items():
        unknown.see(model, names)
    with store.write() as conn:
        unknown.write(conn, now)
    unknown.written()


def test_a_feature_is_noted_for_an_hour_after_it_was_last_read(store: Store) -> None:
    unknown = UnknownFeatures()
    write(unknown, store, START, m=["weather", "wind"], n=["rain"])
    write(unknown, store, START + 30 * MINUTE, m=["wind"])
    assert said(store) == {
        "schema.m": "m: messages of the last hour hold features that the reference does not: weather, wind.",
        "schema.n": "n: messages of the last hour hold features that the reference does not: rain.",
    }
    write(unknown, store, START + HOUR)
    assert said(store) == {"schema.m": "m: messages of the last hour hold features that the reference does not: wind."}
    write(unknown, store, START + 90 * MINUTE)
    assert said(store) == {}


def test_what_was_true_of_other_columns_is_forgotten_unless_it_is_found_again(store: Store) -> None:
    unknown = UnknownFeatures()
    write(unknown, store, START, m=["weather"], n=["rain"])
    # Given other columns, and a checkpoint that comes to nothing
    unknown.forget()
    unknown.see("m", ["weather"])
    with contextlib.suppress(Undone), store.write() as conn:
        unknown.write(conn, START + MINUTE)
        raise Undone
    assert list(said(store)) == ["schema.m", "schema.n"]
    # Then the next one puts it right all the same
    write(unknown, store, START + 2 * MINUTE)
    assert list(said(store)) == ["schema.m"]


@pytest.mark.parametrize(
    ("many", "end"),
    [(10, "f0009."), (11, "f0009 and 1 more."), (100, " and 90 more."), (3000, " and at least 91 more.")],
)
def test_the_sentence_names_ten_and_counts_the_others(store: Store, many: int, end: str) -> None:
    write(UnknownFeatures(), store, START, m=[f"f{number:04}" for number in range(many)])
    assert said(store)["schema.m"].endswith(end)
    assert len(said(store)["schema.m"]) < 200
