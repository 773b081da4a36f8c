"""A broker that the fault suite may stop, kill and damage; the shared one belongs to everybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka.local import LocalKafka


@pytest.fixture(scope="module")
def own_broker(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker of this module alone, running at the start of each test."""
    with LocalKafka(tmp_path_factory.mktemp("own-kafka"), jars=kafka_jars) as broker:
        yield broker
