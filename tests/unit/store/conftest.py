"""A real store in a file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool

from daemon.store import Store, names
from daemon.store.schema import metadata


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "driftd.db"


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with nothing in it: copying it is quicker than migrating for each test."""
    path = tmp_path_factory.mktemp("store") / "fresh.db"
    Store.open(path, writer=True).close()
    return path


@pytest.fixture
def store(path: Path, fresh: Path) -> Iterator[Store]:
    shutil.copy(fresh, path)
    with Store.open(path, writer=True, holder="tests") as store:
        yield store


@pytest.fixture
def conn(store: Store) -> Iterator[Connection]:
    """One write transaction around the whole test."""
    with store.write() as conn:
        yield conn


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A store's tables in memory, for many short examples."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    names.forget_on_rollback(engine)
    yield engine
    engine.dispose()
