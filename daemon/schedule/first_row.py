"""Why a model has not had a row yet, in words: from what was read, without looking at a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.config.settings import Model
from daemon.store import Connection, books, collecting, positions, status
from daemon.store.status import ModelState
from detectors.instants import Micros


def reading_since(conn: Connection, state: ModelState | None) -> Micros | None:
    """Since when a model's messages have been read; None while it waits for a reference that it does not collect."""
    if state is None:
        return None
    collection = collecting.load(conn, state.model)
    return state.since if state.state == "running" or (collection is not None and collection.is_open) else None


def no_row_yet(conn: Connection, name: str, model: Model) -> str | None:
    """Why there is no row so far; None when there is one, or the model's messages are not read."""
    if reading_since(conn, status.model_states_by_name(conn).get(name)) is None:
        return None
    topics = sorted({one.topic for one in positions.load_partitions(conn, list(model.predictions.topic))})
    return explain(name, model, topics, books.books(conn).get(name, {}))


def explain(name: str, model: Model, topics: Sequence[str], counted: Mapping[str, int]) -> str | None:
    """The sentence for a model of which `topics` are there and the books say `counted`; None once it has a row."""
    if counted.get("predictions"):
        return None
    missing = [topic for topic in model.predictions.topic if topic not in topics]
    if missing:
        found = "topics {} have" if len(missing) > 1 else "topic {} has"
        return f"the {found.format(', '.join(missing))} not been found in Kafka; check predictions.topic"
    messages, labels = counted.get("messages", 0), counted.get("labels", 0)
    if not messages:
        return "no message has come since reading began"
    became = []
    if ignored := counted.get("ignored", 0):
        where = ", ".join(f"{key}: {value}" for key, value in model.predictions.where.items())
        why = f"predictions.where is {{{where}}}" if where else "they have no content"
        became.append(f"{ignored:,} ignored ({why})")
    if dead := counted.get("dead_lettered", 0):
        became.append(f"{dead:,} not readable (driftd dead-letters list --model {name})")
    if labels:
        became.append(f"{labels:,} labels")
    return f"none of the {messages:,} messages read so far is a prediction of it: {', '.join(became)}"
