"""The whole format: every key is either accepted or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config.document import read_document
from daemon.config.errors import ConfigurationError
from daemon.config.shape import Each, Group, Shape, file_shape
from daemon.config.unavailable import KEYS, NOT_AVAILABLE, PARTS, VALUES
from tests.support.configuration import load

FULL = Path(__file__).with_name("full.yaml")

REFUSED = [
    "kafka.schema_registry",
    "store.url_file",
    "http.external_url",
    "http.write_token_file",
    "slack.app_token_file",
    "heartbeat",
    "timezone",
    "receivers.pager.type",
    "receivers.alerts.type",
    "receivers.post.type",
    "teams",
    "routes",
    "defaults.tier",
    "defaults.alerts.observe_for",
    "presets",
    "models.arrivals.team",
    "models.arrivals.tier",
    "models.arrivals.reference.uri",
    "models.arrivals.reference.if_missing",
    "models.arrivals.privacy",
    "models.arrivals.retraining",
    "models.shelf.preset",
    "models.shelf.digest",
    "models.shelf.reference.window",
    "models.shelf.window.timezone",
    "models.unlabelled.labels",
]


def test_every_key_of_the_whole_format_is_accepted_or_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "driftd.yaml").write_bytes(FULL.read_bytes())
    (tmp_path / "secret").write_text("x")
    with pytest.raises(ConfigurationError) as refusal:
        load(tmp_path, environ={})
    assert [problem for problem in refusal.value.problems if NOT_AVAILABLE not in problem.message] == []
    assert [problem.path for problem in refusal.value.problems] == REFUSED


def test_the_table_names_nothing_that_works() -> None:
    for pattern in KEYS:
        *above, key = pattern.split(".")
        shape: Shape | None = file_shape()
        for step in above:
            shape = (
                shape.of if isinstance(shape, Each) else shape.fields.get(step) if isinstance(shape, Group) else None
            )
        assert isinstance(shape, Group), pattern
        assert key not in shape.keys, pattern


def test_the_whole_format_shows_most_of_the_table() -> None:
    root, problems = read_document("full.yaml", FULL.read_bytes())
    assert root is not None
    assert problems == []
    text = FULL.read_text()
    words = [pattern.rpartition(".")[2] for pattern in KEYS]
    words += [word for table in (VALUES, PARTS) for words in table.values() for word in words]
    for word in words:
        assert word.removesuffix("_file") in text or word == "app_token", word
