"""Partials, sample thresholds and compaction."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from daemon.store import ActivationTooEarly, panes, references, specs
from daemon.store.panes import FAN_IN, PaneRows
from daemon.store.references import ReferenceUse, StoredReference
from daemon.store.specs import Activation
from detectors.instants import HOUR


def add(
    conn: Connection, pane: int, *, version: str = "7", spec: str = "s1", rows: int = 10, kth: int | None = None
) -> None:
    panes.add_partial(
        conn,
        "m",
        version,
        pane * HOUR,
        spec,
        rows=rows,
        profile=b"profile",
        sample=b"sample",
        kth_hash=kth,
        min_event_time=pane * HOUR + rows,
        max_event_time=pane * HOUR + 2 * rows,
        now=1,
    )


def test_partials_add_up_by_version_pane_and_spec(conn: Connection) -> None:
    for rows in (10, 5, 20):
        add(conn, 1, rows=rows)
    add(conn, 1, version="8", rows=3)
    add(conn, 2, spec="s2", rows=4)

    assert panes.pane_rows(conn, "m") == [
        PaneRows("7", HOUR, "s1", 35, HOUR + 5, HOUR + 40),
        PaneRows("8", HOUR, "s1", 3, HOUR + 3, HOUR + 6),
        PaneRows("7", 2 * HOUR, "s2", 4, 2 * HOUR + 4, 2 * HOUR + 8),
    ]
    assert [row.version for row in panes.pane_rows(conn, "m", 2 * HOUR, 3 * HOUR)] == ["7"]
    loaded = panes.load_partials(conn, "m", HOUR, 2 * HOUR)
    assert [(part.version, part.rows, part.profile, part.sample) for part in loaded] == [
        ("7", 10, b"profile", b"sample"),
        ("7", 5, b"profile", b"sample"),
        ("7", 20, b"profile", b"sample"),
        ("8", 3, b"profile", b"sample"),
    ]
    assert panes.load_partials(conn, "other", 0, 10**18) == []


def test_the_sample_threshold_is_the_lowest_of_all_parts(conn: Connection) -> None:
    def threshold() -> int | None:
        return panes.sample_threshold(conn, "m", "7", HOUR, "s1")

    assert threshold() is None
    add(conn, 1)
    assert threshold() is None
    add(conn, 1, kth=2**64 - 1)
    assert threshold() == 2**64 - 1
    add(conn, 1)
    add(conn, 1, kth=2**63 + 5)
    add(conn, 1, kth=2**63 + 9)
    assert threshold() == 2**63 + 5
    panes.lower_sample_threshold(conn, "m", "7", HOUR, "s1", 17)
    panes.lower_sample_threshold(conn, "m", "7", HOUR, "s1", 18)
    assert threshold() == 17
    assert panes.sample_threshold(conn, "m", "8", HOUR, "s1") is None


def test_sixteen_of_one_tier_become_one_of_the_next(conn: Connection) -> None:
    for _ in range(FAN_IN - 1):
        add(conn, 1)
    add(conn, 1, version="8")
    add(conn, 1, spec="s2")
    add(conn, 2)
    assert panes.compactable(conn) == []

    add(conn, 1)
    add(conn, 1)
    (group,) = panes.compactable(conn)
    assert (group.model, group.version, group.pane_start, group.spec_hash, group.tier) == ("m", "7", HOUR, "s1", 0)
    assert len(group.ids) == FAN_IN
    assert len(panes.load_parts(conn, group.ids)) == FAN_IN

    assert panes.replace(conn, group, rows=160, profile=b"merged", sample=None, now=2)

    assert panes.compactable(conn) == []
    loaded = panes.load_partials(conn, "m", HOUR, 2 * HOUR)
    assert [(p.version, p.tier, p.rows) for p in loaded if p.spec_hash == "s1"] == [
        ("7", 0, 10),
        ("7", 1, 160),
        ("8", 0, 10),
    ]
    assert sum(row.rows for row in panes.pane_rows(conn, "m", HOUR, 2 * HOUR)) == 190


def test_a_group_that_has_changed_is_not_replaced(conn: Connection) -> None:
    for _ in range(FAN_IN):
        add(conn, 1)
    (group,) = panes.compactable(conn)

    assert not panes.replace(conn, group, rows=159, profile=b"", sample=None, now=2), "rows were lost in merging"
    assert panes.replace(conn, group, rows=160, profile=b"", sample=None, now=2)
    assert not panes.replace(conn, group, rows=160, profile=b"", sample=None, now=2), "another has done it"
    assert len(panes.load_partials(conn, "m", HOUR, 2 * HOUR)) == 1


def test_settled_panes_become_one_partial_each(conn: Connection) -> None:
    for _ in range(FAN_IN + 3):
        add(conn, 1)
    panes.replace(conn, panes.compactable(conn)[0], rows=160, profile=b"", sample=None, now=2)
    add(conn, 2)
    add(conn, 3)
    add(conn, 3)

    (group,) = panes.settled(conn, "m", 3 * HOUR)
    assert (group.pane_start, group.tier, len(group.ids)) == (HOUR, 1, 4)
    assert panes.replace(conn, group, rows=190, profile=b"", sample=None, now=3)
    assert panes.settled(conn, "m", 3 * HOUR) == []


def test_specs_begin_beyond_what_has_been_counted(conn: Connection) -> None:
    for spec in ("s1", "s2"):
        specs.add_spec(conn, spec, spec.encode(), 1)
        specs.add_spec(conn, spec, b"never replaced", 2)
    assert specs.load_spec(conn, "s1") == b"s1"
    assert specs.load_spec(conn, "s3") is None

    first = Activation("m", None, 0, "s1")
    specs.activate(conn, first)
    add(conn, 1)
    add(conn, 2)
    specs.activate(conn, first)
    for pane in (1, 2):
        with pytest.raises(ActivationTooEarly, match="has been counted with another one"):
            specs.activate(conn, Activation("m", None, pane * HOUR, "s2"))
    second = Activation("m", "8", 2 * HOUR, "s2")
    specs.activate(conn, second)
    third = Activation("m", None, 3 * HOUR, "s2")
    specs.activate(conn, third)

    assert specs.active(conn, "m") == [first, second, third]
    assert specs.active(conn, "other") == []
    assert specs.last_counted_pane(conn, "m") == 2 * HOUR


def test_references_and_who_is_held_against_them(conn: Connection) -> None:
    stored = StoredReference("r1", "m", "models/m/reference.parquet", 1000, 5, b"body")
    references.add(conn, stored)
    references.add(conn, StoredReference("r1", "m", "elsewhere", 1, 6, b"other"))
    references.add(conn, StoredReference("r2", "m", "v8", 1, 6, b"other"))
    assert references.load(conn, "r1") == stored
    assert references.load(conn, "r9") is None

    assert references.current(conn, "m") is None
    references.use(conn, ReferenceUse("m", None, "r1", 10))
    references.use(conn, ReferenceUse("m", None, "r1", 11))
    references.use(conn, ReferenceUse("m", "8", "r2", 12))
    assert [references.current(conn, "m", version) for version in (None, "7", "8")] == ["r1", "r1", "r2"]
    references.use(conn, ReferenceUse("m", None, "r2", 13))
    assert references.current(conn, "m") == "r2"


def test_live_windows_as_of_an_instant_in_order(conn: Connection) -> None:
    for start in (3, 1, 2):
        for vector in (b"first", b"again"):
            references.add_live_window(
                conn, "m", "r1", window_start=start, window_end=start + 1, added_at=9, vector=vector + b"%d" % start
            )

    assert references.live_windows(conn, "m", "r1", as_of=3) == [b"first1", b"first2"]
    assert references.live_windows(conn, "m", "r1", as_of=9, limit=2) == [b"first1", b"first2"]
    assert references.live_windows(conn, "m", "r2", as_of=9) == []
    assert references.last_live_window_end(conn, "m", "r1") == 4
    assert references.last_live_window_end(conn, "m", "r2") is None
