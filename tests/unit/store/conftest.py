"""A real store in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from daemon.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "driftd.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, writer=True, holder="tests") as store:
        yield store


@pytest.fixture
def conn(store: Store) -> Iterator[Connection]:
    """One write transaction around the whole test."""
    with store.write() as conn:
        yield conn
