"""What the estimate of a window's quality needs besides the window's own rows."""

from __future__ import annotations

from daemon.config.settings import Model
from daemon.store import Connection, collecting, predictions, references
from daemon.store.due import DueWindow
from detectors.instants import Micros, micros

FROM_ROWS = frozenset({"regression", "binary_classification"})
"""Tasks of which a window's sampled rows hold all that an estimate is made from."""
FROM_PREDICTIONS = "multiclass"
"""The task whose probabilities are kept beside the waiting predictions alone."""
ESTIMATED_ROWS = 2_000


def keeps_scored(model: Model) -> bool:
    """Whether the model's probabilities are kept, beside its predictions that wait for labels."""
    return model.task == FROM_PREDICTIONS and model.labels is not None and model.predictions.fields.scores is not None


def scored(conn: Connection, model: Model, due: DueWindow) -> dict[str, tuple[str, ...]]:
    """By version predictions with their probabilities, each pair one text; none for other tasks than multiclass."""
    if not keeps_scored(model):
        return {}
    return predictions.texts(conn, due.model, due.start, due.end, limit=ESTIMATED_ROWS)


def labelled_reference(conn: Connection, model: Model, due: DueWindow, reference_hash: str) -> bytes | None:
    """The same reference with the labels that came later, for windows that end after they were waited for.

    Earlier windows do without it even where it is there already: a revision must not say more than the first verdict.
    """
    found = collecting.labelled(conn, reference_hash)
    since = labels_until(conn, model, due.model)
    if found == reference_hash or since is None or due.end <= since:
        return None
    stored = references.load(conn, found)
    return None if stored is None else stored.body


def labels_until(conn: Connection, model: Model, name: str) -> Micros | None:
    """The event time up to which the labels of a reference from live traffic are waited for; None without them."""
    collection = collecting.load(conn, name)
    if collection is None or collection.decided_until is None or model.labels is None:
        return None
    return collection.closes(collection.decided_until) + micros(model.labels.maturity.at_most)


def open_labels(conn: Connection, model: Model, name: str) -> Micros | None:
    """Where windows end that the labels of the reference are to be there for, while they are not; else None."""
    if model.task not in FROM_ROWS and model.task != FROM_PREDICTIONS:
        return None
    collection = collecting.load(conn, name)
    if collection is None or collection.is_open or collection.is_labelled:
        return None
    return labels_until(conn, model, name)
