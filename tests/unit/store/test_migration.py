"""Migrating an empty database and creating every table afresh are the same, and versions are told apart."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Table, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from daemon.store import Store, StoreHeld, StoreMissing, StoreNewer, StoreOutdated, migration
from daemon.store.maintenance import migrate_store
from daemon.store.schema import metadata


def statements(path: Path) -> dict[str, str]:
    """What makes each table and index, without the white space."""
    with sqlite3.connect(path) as connection:
        found = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
        ).fetchall()
    connection.close()
    return {name: " ".join(sql.split()).replace("( ", "(").replace(" )", ")") for name, sql in found}


def test_migrating_gives_what_creating_afresh_gives(path: Path, tmp_path: Path) -> None:
    Store.open(path, writer=True).close()
    engine = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    metadata.create_all(engine)
    engine.dispose()

    assert statements(path) == statements(tmp_path / "created.db")


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_postgresql_can_have_the_same_tables(table: Table) -> None:
    text = str(CreateTable(table).compile(dialect=postgresql.dialect()))

    assert "WITHOUT ROWID" not in text
    assert "REFERENCES" not in text or "FOREIGN KEY" in text


def test_the_program_knows_every_revision_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", "daemon.store:migrations")
    scripts = ScriptDirectory.from_config(config).walk_revisions()

    assert tuple(reversed([script.revision for script in scripts])) == migration.REVISIONS


def set_revision(path: Path, revision: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    connection.close()


@pytest.mark.parametrize("writer", [True, False])
def test_an_older_program_refuses_a_newer_store(path: Path, *, writer: bool) -> None:
    Store.open(path, writer=True).close()
    set_revision(path, "9999")

    with pytest.raises(StoreNewer, match="revision 9999, which this driftd does not know"):
        Store.open(path, writer=writer)
    with pytest.raises(StoreNewer):
        migrate_store(path)


@pytest.mark.parametrize("writer", [True, False])
def test_an_older_store_is_migrated_only_on_demand(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, writer: bool
) -> None:
    Store.open(path, writer=True).close()
    monkeypatch.setattr(migration, "REVISIONS", (*migration.REVISIONS, "9999"))

    with pytest.raises(StoreOutdated, match="driftd store migrate"):
        Store.open(path, writer=writer)


def test_migrating_what_is_up_to_date_changes_nothing(path: Path) -> None:
    Store.open(path, writer=True).close()
    before = statements(path)

    assert migrate_store(path) == (migration.REVISIONS[-1], migration.REVISIONS[-1])
    assert statements(path) == before


def test_migrating_needs_a_store_that_nobody_writes(path: Path) -> None:
    with pytest.raises(StoreMissing):
        migrate_store(path)
    with Store.open(path, writer=True), pytest.raises(StoreHeld):
        migrate_store(path)


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()

    with pytest.raises(StoreOutdated):
        Store.open(path, writer=True)
    assert "positions" not in statements(path)
