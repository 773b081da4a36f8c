"""A real store in a file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from daemon.store import Store


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
