"""What an evaluation leaves behind: findings, changes of incidents, and who is told, in the caller's transaction."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.config.settings import Settings
from daemon.incidents.board import Board, Observation, step
from daemon.incidents.grouping import Change
from daemon.incidents.incident import Incident
from daemon.incidents.lines import LineKey
from daemon.incidents.policy import Policy
from daemon.incidents.routing import addresses
from daemon.schedule.circumstances import with_cause
from daemon.store import Connection, evaluations, incidents, outbox
from daemon.store.evaluations import Evaluation, Judged
from daemon.store.incidents import StoredIncident
from daemon.store.outbox import Outgoing
from detectors.findings import FIRING, Finding
from detectors.instants import Micros, rfc3339

log = logging.getLogger("driftd.schedule")


@dataclass(frozen=True, slots=True)
class Recorder:
    """Applies what was observed to a model's board and writes down what came of it."""

    settings: Settings

    def board(self, conn: Connection, model: str) -> Board:
        """The model's board; an empty one before its first evaluation."""
        body = incidents.load_board(conn, model)
        return Board(model) if body is None else Board.from_bytes(body)

    def record(
        self,
        conn: Connection,
        evaluation: Evaluation,
        observations: Sequence[Observation],
        *,
        now: Micros,
        wall: Micros,
    ) -> Board:
        """Records an evaluation with the findings of its first observation, and takes a step for each of them all.

        `now` is the incidents' clock, `wall` that of what is sent.
        """
        policy = Policy.of(self.settings.models[evaluation.model])
        board = self.board(conn, evaluation.model)
        before = board
        changes: list[Change] = []
        for observation in observations:
            taken = step(board, observation, policy, now)
            board = taken.board
            for change in taken.changes:
                board, change = with_cause(conn, self.settings, board, change, observation)
                changes.append(change)
        several = self.settings.models[evaluation.model].several_labels
        judged = attribute(observations[0].findings, board, changes, policy)
        evaluations.record(conn, evaluation, judged, several_labels=several)
        if board != before:
            incidents.save_board(conn, board.model, board.to_bytes(), now)
        for change in changes:
            self._change(conn, change, now, wall)
        return board

    def _change(self, conn: Connection, change: Change, now: Micros, wall: Micros) -> None:
        incident = change.incident
        row = stored(incident)
        incidents.save_incident(conn, row)
        incidents.add_change(conn, incidents.Change(incident.id, incident.revision, now, change.kind, row.summary))
        for address in addresses(self.settings, self.settings.models[incident.model]):
            key = f"{self.settings.installation}/{incident.id}/{incident.revision}/{address}"
            outbox.put(conn, Outgoing(address, incident.id, change.kind, incident.id, incident.revision, key), wall)
        log.info("%s: %s %s, since %s", incident.model, incident.id, change.kind, rfc3339(incident.since))


def stored(incident: Incident) -> StoredIncident:
    """An incident as the store keeps it."""
    return StoredIncident(
        id=incident.id,
        model=incident.model,
        family=incident.family,
        state=incident.state,
        severity=incident.severity,
        opened_at=incident.opened_at,
        updated_at=incident.updated_at,
        resolved_at=incident.resolved_at,
        revision=incident.revision,
        summary=incident.to_bytes(),
    )


def attribute(findings: Sequence[Finding], board: Board, changes: Sequence[Change], policy: Policy) -> list[Judged]:
    """Each finding with the incident whose line it is, and how loudly it is told; a quiet one with neither."""
    owners = {
        line.key: incident.id
        for incident in (*board.open_incidents, *(change.incident for change in changes))
        for line in incident.lines
    }
    judged = []
    for finding in findings:
        key = LineKey.of(finding)
        flagged = finding.verdict in FIRING
        severity = policy.severity(key).value if flagged else None
        judged.append(Judged(finding, severity, owners.get(key) if flagged else None))
    return judged
