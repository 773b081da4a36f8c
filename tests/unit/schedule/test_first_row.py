"""What is said of a model that has not had a row yet: a table of cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.schedule.first_row import explain
from tests.unit.schedule.world import MODEL, TOPIC, configuration

NONE_OF, IS_OF_IT = "none of the", "messages read so far is a prediction of it"
FILTER = {"where": {"model": "orders"}}
DEAD = f"9 not readable (driftd dead-letters list --model {MODEL})"


@pytest.mark.parametrize(
    ("topics", "counted", "where", "said"),
    [
        ([TOPIC], {"messages": 5, "decoded": 5, "predictions": 1}, {}, None),
        ([], {}, {}, f"the topic {TOPIC} has not been found in Kafka; check predictions.topic"),
        ([TOPIC], {}, {}, "no message has come since reading began"),
        (
            [TOPIC],
            {"messages": 1_200, "ignored": 1_200},
            FILTER,
            f"{NONE_OF} 1,200 {IS_OF_IT}: 1,200 ignored (predictions.where is {{model: orders}})",
        ),
        (
            [TOPIC],
            {"messages": 12, "ignored": 3, "dead_lettered": 9},
            {},
            f"{NONE_OF} 12 {IS_OF_IT}: 3 ignored (they have no content), {DEAD}",
        ),
        (
            [TOPIC],
            {"messages": 4, "decoded": 4, "labels": 4},
            {},
            f"{NONE_OF} 4 {IS_OF_IT}: 4 labels",
        ),
    ],
)
def test_why_there_is_no_row_yet(
    tmp_path: Path, topics: list[str], counted: dict[str, int], where: dict[str, object], said: str | None
) -> None:
    settings = configuration(tmp_path, predictions={"topic": TOPIC, "fields": {"version": None}, **where})
    assert explain(MODEL, settings.models[MODEL], topics, counted) == said
