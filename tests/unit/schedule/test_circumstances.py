"""Given a fault in committed rows, what the incident that comes of it is said to come of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daemon.deliver.causes import before, likely
from daemon.incidents.board import Board
from daemon.incidents.cause import CauseKind
from daemon.incidents.incident import Incident
from daemon.schedule.workers import WorkerPool
from daemon.store import incidents
from daemon.store.incidents import StoredIncident
from detectors.instants import DAY
from tests.unit.schedule.world import MODEL, START, World, orders, world

UNLABELLED: dict[str, Any] = {
    "labels": None,
    "task": "none",
    "predictions": {"topic": "orders.predictions", "fields": {"version": "version"}},
}


def of_the_model(made: World) -> Incident:
    """The one incident of the model, from the store; the board knows the same."""
    with made.store.read() as conn:
        board: Board = made.recorder.board(conn, MODEL)
        (incident,) = (one for one in board.open_incidents if one.family == "model")
        stored = incidents.incident(conn, incident.id)
        assert stored is not None
        assert Incident.from_bytes(stored.summary) == incident
    return incident


def moved(first_day: int, days: int, seed: int) -> Any:
    """Days on which predictions alone move: no column says why."""
    frame = orders(first_day, days, seed=seed)
    return frame.assign(prediction=frame["prediction"] + 5)


def test_a_column_that_moved_is_the_cause_and_that_nothing_else_did_is_said(tmp_path: Path, pool: WorkerPool) -> None:
    with world(tmp_path, pool, UNLABELLED) as made:
        made.predict(orders(0, 3, seed=5), "6")
        made.predict(orders(3, 3, seed=6, shift=25.0), "6")
        made.evaluator.turn(flush=True)
        incident = of_the_model(made)
        assert incident.causes is not None
        # The label is a column like any other here, and follows the number.
        assert {(cause.kind, cause.column) for cause in incident.causes} == {
            (CauseKind.COLUMN, "amount"),
            (CauseKind.COLUMN, "label"),
        }
        assert likely(incident).startswith("Likely cause: amount ")
        assert before(incident) == "Just before: no new version, no schema change"


def test_a_new_version_is_the_cause_of_what_no_column_explains(tmp_path: Path, pool: WorkerPool) -> None:
    with world(tmp_path, pool, UNLABELLED) as made:
        made.predict(orders(0, 3, seed=5), "6")
        made.predict(moved(3, 3, seed=6), "7")
        made.evaluator.turn(flush=True)
        incident = of_the_model(made)
        assert likely(incident) == "Likely cause: version 7 is new, since 4 Mar 00:00"
        assert before(incident) == "Just before: no schema change"


def test_rows_that_come_late_are_found_by_the_revision_of_their_window(tmp_path: Path, pool: WorkerPool) -> None:
    with world(tmp_path, pool, UNLABELLED) as made:
        made.predict(orders(0, 3, seed=5), "6")
        whole = orders(3, 1, seed=6)
        late = whole["amount"] < 50
        made.predict(whole[~late], "6")
        made.predict(orders(4, 1, seed=7, shift=25.0), "6")
        made.evaluator.turn()
        made.predict(whole[late], "6")
        made.predict(orders(5, 2, seed=8, shift=25.0), "6")
        made.evaluator.turn(flush=True)
        (cause,) = (one for one in of_the_model(made).causes or () if one.kind is CauseKind.LATE_ROWS)
        assert cause.text.startswith(f"{late.sum():,} rows of a window came late")


@pytest.mark.parametrize(("topic", "shared"), [("orders.predictions", True), ("others", False)])
def test_another_model_of_the_same_topic_with_an_incident_is_named(
    topic: str, shared: bool, tmp_path: Path, pool: WorkerPool
) -> None:
    with world(tmp_path, pool, UNLABELLED) as made:
        other = made.model.model_copy(
            update={"predictions": made.model.predictions.model_copy(update={"topic": [topic]})}
        )
        made.settings.models["prices"] = other
        made.predict(orders(0, 3, seed=5), "6")
        made.predict(moved(3, 1, seed=6), "6")
        made.evaluator.turn(flush=True)
        with made.store.write() as conn:
            body = incident_of("prices").to_bytes()
            now = START + 4 * DAY
            incidents.save_incident(
                conn, StoredIncident("inc-prices", "prices", "model", "firing", "notify", now, now, None, 1, body)
            )
        made.predict(moved(4, 2, seed=7), "6")
        made.evaluator.turn(flush=True)
        kinds = {cause.kind for cause in of_the_model(made).causes or ()}
        assert (CauseKind.NEIGHBOUR in kinds) is shared


def incident_of(model: str) -> Incident:
    """An incident of another model that began with the third day."""
    at = START + 3 * DAY
    return Incident("inc-prices", model, "model", "firing", "notify", at, at, at, at, at + DAY, ())  # type: ignore[arg-type]
