"""The books: what became of every message, prediction and label, per model.

These hold in every committed state:

- messages = decoded + dead_lettered + ignored
- predictions = profiled + late_dropped + expired_unpaired
- labels = waiting + joined + superseded + thinned + expired
- offered = awaiting + predictions_labelled + predictions_unlabelled + predictions_superseded + predictions_thinned

Exactly: a *message* is a record of one of the model's topics at or after the model's first offset; it is *ignored* when
`where` says that it is another model's. A *prediction* is one decoded row; it is *profiled* when a partial holds it,
*late_dropped* when its pane had closed, and *expired_unpaired* when its features were to come in a message of their
own and never came. A prediction whose label never comes is profiled all the same.

A *label* is one decoded row. It is *waiting* from its arrival, *joined* once an evaluation has used it (or the later
label that took its place), *superseded* when another label of the same id has a later time, *thinned* when its id is
not among those kept, and *expired* when it left without having been joined.

*dead_letters_cut* counts dead letters that were not kept whole, *predictions_cut* predictions of which a part was cut
off for its size, such as the scores of too many classes.

The last equation is about the predictions that are kept for their labels: *offered* is each one that was given to the
join, *awaiting* each one that is there now, the rest have left it.

`predictions.py`, `labels.py` and `dead_letters.py` write the counters of what they do; intake adds the others:
messages, decoded, dead_lettered, ignored, predictions, profiled, late_dropped, expired_unpaired.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, case, func, select

from daemon.store import dialect
from daemon.store.schema import books as table
from daemon.store.schema import label_panes, labels, names, predictions

EQUATIONS: Mapping[str, tuple[str, ...]] = {
    "messages": ("decoded", "dead_lettered", "ignored"),
    "predictions": ("profiled", "late_dropped", "expired_unpaired"),
    "labels": ("waiting", "joined", "superseded", "thinned", "expired"),
    "offered": (
        "awaiting",
        "predictions_labelled",
        "predictions_unlabelled",
        "predictions_superseded",
        "predictions_thinned",
    ),
}
"""Each total and what it is the sum of."""

COUNTERS: tuple[str, ...] = (
    *(name for total, parts in EQUATIONS.items() for name in (total, *parts)),
    "dead_letters_cut",
    "predictions_cut",
)
"""Every counter, in the order in which people read them."""


def add(conn: Connection, model: str, counts: Mapping[str, int]) -> None:
    """Add to a model's counters, in the transaction that does what is counted."""
    unknown = counts.keys() - set(COUNTERS)
    if unknown:
        raise ValueError(f"No such counter: {', '.join(sorted(unknown))}. There are: {', '.join(COUNTERS)}.")
    rows = [(model, counter, value) for counter, value in sorted(counts.items()) if value]
    dialect.insert_many(
        conn,
        table,
        ("model", "counter", "value"),
        rows,
        conflict="ON CONFLICT (model, counter) DO UPDATE SET value = books.value + excluded.value",
    )


def books(conn: Connection) -> dict[str, dict[str, int]]:
    """Every counter of every model; one that never counted is 0."""
    found: dict[str, dict[str, int]] = {}
    for model, counter, value in conn.execute(select(table).order_by(table.c.model)):
        found.setdefault(model, dict.fromkeys(COUNTERS, 0))[counter] = value
    return found


def check(conn: Connection) -> list[str]:
    """The equations that do not hold, each as a sentence; none in a sound store.

    Counts every waiting row, so it is for tests and `driftd status --verify`, not for each scrape.
    """
    violations = []
    kept = books(conn)
    for model, counters in kept.items():
        for total, parts in EQUATIONS.items():
            found = sum(counters[part] for part in parts)
            if counters[total] != found:
                terms = " + ".join(f"{part} {counters[part]}" for part in parts)
                violations.append(f"{model}: {total} {counters[total]} != {terms} = {found}")
        violations += [f"{model}: {name} is {value}" for name, value in counters.items() if value < 0]
    for model, counter, rows in _row_counts(conn):
        if kept.get(model, {}).get(counter, 0) != rows:
            violations.append(f"{model}: {counter} {kept.get(model, {}).get(counter, 0)} != {rows} rows in the store")
    return violations


def _row_counts(conn: Connection) -> list[tuple[str, str, int]]:
    """Per model: what the counters of present rows must be. A model without such rows has a count of 0."""
    waiting = func.coalesce(func.sum(case((labels.c.joined, 0), else_=1)), 0)
    questions = (
        ("waiting", select(labels.c.model_id, waiting).group_by(labels.c.model_id)),
        ("awaiting", select(predictions.c.model_id, func.count()).group_by(predictions.c.model_id)),
        ("awaiting", select(label_panes.c.model_id, func.sum(label_panes.c.kept)).group_by(label_panes.c.model_id)),
    )
    model_names = {row.id: row.name for row in conn.execute(select(names))}
    models = set(conn.scalars(select(table.c.model).distinct()))
    rows = []
    for counter, question in questions:
        counts = dict.fromkeys(models, 0)
        for model_id, count in conn.execute(question):
            counts[model_names[model_id]] = int(count)
        rows += [(model, counter, count) for model, count in sorted(counts.items())]
    return rows
