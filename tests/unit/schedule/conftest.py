"""One worker process for all tests of the schedule: starting one takes a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from daemon.schedule.workers import WorkerPool


@pytest.fixture(scope="session")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1) as pool:
        yield pool
