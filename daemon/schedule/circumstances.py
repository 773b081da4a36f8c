"""What is known of an incident's beginning, read in the transaction that changes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

import msgspec

from daemon.config.settings import Settings
from daemon.incidents.board import Board, Observation
from daemon.incidents.grouping import Change, ChangeKind
from daemon.incidents.incident import Incident
from daemon.incidents.lines import Line, LineKey
from daemon.incidents.ranking import (
    LOOK_BACK_WINDOWS,
    Circumstances,
    LateRows,
    Neighbour,
    SeenVersion,
    Sign,
    rank,
    where,
)
from daemon.store import Connection, evaluations, incidents, panes
from detectors.findings import FIRING, Finding
from detectors.instants import Micros, micros

VERSION_WINDOWS = 14
"""How far back versions are looked for, in windows: one that came in that time is new, or one of several."""
MAX_SIGNS = 2_000
"""Findings that fired which are read for one incident."""
_FIRING = tuple(verdict.value for verdict in FIRING)


def with_cause(
    conn: Connection, settings: Settings, board: Board, change: Change, observation: Observation
) -> tuple[Board, Change]:
    """The board and the change with what probably brought the incident about, as far as is known by now.

    One that is over, or whose past was amended, keeps what was found before.
    """
    incident = change.incident
    if change.kind in (ChangeKind.RESOLVED, ChangeKind.AMENDED):
        return board, change
    known = circumstances(conn, settings, board, incident, observation)
    # A window of another kind measures other lines: what it does not show is not over.
    place = where(incident, known.present) or incident.where
    incident = msgspec.structs.replace(incident, causes=rank(incident, known), where=place)
    kept = tuple(incident if one.id == incident.id else one for one in board.incidents)
    return msgspec.structs.replace(board, incidents=kept), Change(change.kind, incident)


def circumstances(
    conn: Connection, settings: Settings, board: Board, incident: Incident, observation: Observation
) -> Circumstances:
    """What committed rows, findings and other models' incidents say of the time at which an incident began."""
    model = settings.models[incident.model]
    size = micros(model.window.size)
    since, until = incident.since - LOOK_BACK_WINDOWS * size, max(incident.window_end, observation.end)
    topics = set(model.predictions.topic)
    others = {
        name
        for name, other in settings.models.items()
        if name != incident.model and not topics.isdisjoint(other.predictions.topic)
    }
    return Circumstances(
        size=size,
        signs=tuple(_signs(conn, board, incident.model, since, until, observation)),
        present=tuple(observation.findings),
        versions=tuple(_versions(conn, incident, size, until)),
        late=tuple(_late(conn, incident, size, until)),
        neighbours=tuple(_neighbours(conn, others)),
        sharing=len(others),
        rows=incident.rows or observation.rows,
    )


def _signs(
    conn: Connection, board: Board, model: str, since: Micros, until: Micros, observation: Observation
) -> Iterator[Sign]:
    """Each line that fired since then, whether or not for long enough to be told, with its newest finding."""
    first: dict[LineKey, Micros] = {line.key: line.since for line in board.lines}
    newest: dict[LineKey, Finding] = {}
    rows = evaluations.results(conn, model=model, since=since + 1, until=until + 1, verdicts=_FIRING, final_only=True)
    seen: Iterable[tuple[Micros, Finding]] = ((row.window_start, row.finding) for row in islice(rows, MAX_SIGNS))
    now = ((observation.start, finding) for finding in observation.findings if finding.verdict in FIRING)
    for start, finding in (*seen, *now):
        key = LineKey.of(finding)
        first[key] = min(start, first.get(key, start))
        newest[key] = finding
    yield from (Sign(finding, first[key]) for key, finding in newest.items())
    # A lag or a silence is recorded when it begins and when it ends: while it lasts the line alone knows of it.
    for line in board.lines:
        if line.told and line.key not in newest:
            yield Sign(_of_line(line), line.since)


def _versions(conn: Connection, incident: Incident, size: Micros, until: Micros) -> Iterator[SeenVersion]:
    start = incident.since - VERSION_WINDOWS * size
    began: dict[str, Micros] = {}
    present: dict[str, int] = {}
    for pane in panes.pane_rows(conn, incident.model, start, until):
        began.setdefault(pane.version, pane.pane_start)
        if pane.pane_start >= until - size:
            present[pane.version] = present.get(pane.version, 0) + pane.rows
    first = min(began.values(), default=until)
    came = {version: at for version, at in began.items() if version and at > first}
    for version, at in came.items():
        if at < incident.since - LOOK_BACK_WINDOWS * size:
            continue
        before = panes.first_pane(conn, incident.model, version)
        share = present.get(version, 0) / max(1, sum(present.values()))
        yield SeenVersion(version, at, share, len(came), again=before is not None and before < at)


def _late(conn: Connection, incident: Incident, size: Micros, until: Micros) -> Iterator[LateRows]:
    judged: dict[Micros, list[int]] = {}
    since = incident.since - LOOK_BACK_WINDOWS * size
    for one in evaluations.evaluated(conn, model=incident.model, kind="drift", since=since + 1, until=until + 1):
        judged.setdefault(one.window_end, []).append(one.rows)
    for end, rows in judged.items():
        if rows[-1] > rows[0]:
            yield LateRows(end, rows[0], rows[-1] - rows[0])


def _neighbours(conn: Connection, models: Collection[str]) -> Iterator[Neighbour]:
    for stored in incidents.open_incidents(conn) if models else ():
        if stored.model in models:
            yield Neighbour(stored.model, stored.id, Incident.from_bytes(stored.summary).since)


def _of_line(line: Line) -> Finding:
    key, facts = line.key, line.facts
    return Finding(
        signal=key.signal,
        metric=key.metric,
        verdict=facts.verdict,
        column=key.column,
        version=key.version,
        segment=dict(key.segment) or None,
        rows=facts.rows,
        value=facts.value,
        threshold=facts.threshold,
        p_value=facts.p_value,
        immediate=line.immediate,
        driver=facts.driver,
        detail=facts.detail,
    )
