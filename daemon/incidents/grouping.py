"""Lines into incidents: one model's lines that fire become one incident in each family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from daemon.incidents.incident import FAMILIES, RANK, Entry, Family, Incident, Severity, State, Voice, incident_id
from daemon.incidents.lines import Line, LineKey, Phase, Reading, reading
from daemon.incidents.policy import Policy
from daemon.incidents.words import capital, clauses, length, names
from detectors.findings import SUITE, Finding, Signal
from detectors.instants import Micros


class ChangeKind(StrEnum):
    """What happened to an incident in one step, the most telling word for it."""

    OPENED = "opened"
    RELAPSED = "relapsed"
    WORSE = "worse"
    RESOLVED = "resolved"
    RECOVERING = "recovering"
    AMENDED = "amended"
    UPDATED = "updated"

    @property
    def alarms(self) -> bool:
        """Whether someone must look; every other change is an edit that disturbs nobody."""
        return self in (ChangeKind.OPENED, ChangeKind.RELAPSED, ChangeKind.WORSE)


@dataclass(frozen=True, slots=True)
class Change:
    """An incident as the step left it, and what the step did to it."""

    kind: ChangeKind
    incident: Incident


@dataclass(frozen=True, slots=True)
class Seen:
    """The part of an observation that incidents show; `held` while data is missing.

    `findings` are empty for a window that was held back: its rows are no measure of anything.
    """

    kind: str
    start: Micros
    end: Micros
    rows: int
    findings: Sequence[Finding]
    held: str | None


def regroup(
    model: str, incidents: tuple[Incident, ...], lines: Sequence[Line], seen: Seen, policy: Policy, now: Micros
) -> tuple[tuple[Incident, ...], tuple[Change, ...]]:
    """The incidents after the lines have moved; `lines` still hold those that ended in this very step."""
    changes: list[Change] = []
    result = list(incidents)
    for family in Family:
        own = [line for line in lines if FAMILIES[line.key.signal] is family]
        openers = [line for line in own if line.told and policy.opens(line.key)]
        current = next((i for i, incident in enumerate(result) if incident.open and incident.family is family), None)
        if current is not None:
            change = _evolved(result[current], own, openers, seen, policy, now)
            result[current] = change.incident if isinstance(change, Change) else change
            if isinstance(change, Change):
                changes.append(change)
        elif any(line.phase is Phase.FIRING for line in openers):
            opened = _opened(model, family, own, openers, seen, policy, now)
            result.append(opened)
            changes.append(Change(ChangeKind.OPENED, opened))
    return tuple(result), tuple(changes)


def _opened(
    model: str, family: Family, own: list[Line], openers: list[Line], seen: Seen, policy: Policy, now: Micros
) -> Incident:
    since = min(line.since for line in openers)
    incident = Incident(
        id=incident_id(model, family, since, seen.end),
        model=model,
        family=family,
        state=State.FIRING,
        severity=_severity(openers, policy),
        since=since,
        opened_at=now,
        updated_at=now,
        window_start=seen.start,
        window_end=seen.end,
        lines=tuple(line for line in own if line.told),
        peak=max(RANK[line.key.signal] for line in openers),
    )
    return _measured(incident.entered(Entry(seen.end, f"Opened: {clauses([line.key for line in openers])}.")), seen)


def _evolved(
    incident: Incident, own: list[Line], openers: list[Line], seen: Seen, policy: Policy, now: Micros
) -> Change | Incident:
    """The open incident after the step: a change when a person could see one."""
    before = {line.key: line for line in incident.lines}
    after = {line.key: line for line in own if line.told or line.key in before}
    joined = [key for key, line in after.items() if line.told and not (key in before and before[key].told)]
    ended = [key for key, line in after.items() if key in before and before[key].told and not line.told]
    if not openers:
        return Change(ChangeKind.RESOLVED, _resolved(incident, before | after, seen, now))
    state = State.FIRING if any(line.phase is Phase.FIRING for line in openers) else State.RECOVERING
    severity = max(incident.severity, _severity(openers, policy), key=list(Severity).index)
    peak = max(incident.peak, *(RANK[line.key.signal] for line in openers if line.phase is Phase.FIRING), 0)
    if incident.state is State.RECOVERING and state is State.FIRING:
        kind = ChangeKind.RELAPSED
    elif peak > incident.peak or severity != incident.severity:
        kind = ChangeKind.WORSE
    elif incident.state is State.FIRING and state is State.RECOVERING:
        kind = ChangeKind.RECOVERING
    else:
        kind = ChangeKind.UPDATED
    entries = [Entry(seen.end, text) for text in _sentences(kind, joined, ended, openers, policy)]
    held = seen.held if incident.family is Family.MODEL else None
    if (held is None) != (incident.voice is Voice.OPEN):
        said = f"Held back while {held}." if held else "Judged again; windows that lost rows do not count."
        entries.append(Entry(seen.end, said))
    changed = msgspec.structs.replace(
        _measured(incident.entered(*entries), seen),
        state=state,
        severity=severity,
        peak=peak,
        lines=tuple(sorted((before | after).values(), key=lambda line: line.key.order)),
        voice=Voice.HELD if held else Voice.OPEN,
        held=held,
    )
    # The window's own instants move with every evaluation; alone they are nothing that anyone reads.
    placed = msgspec.structs.replace(incident, window_start=changed.window_start, window_end=changed.window_end)
    if changed == placed:
        return placed
    alarms = incident.alarms + kind.alarms
    return Change(
        kind,
        msgspec.structs.replace(
            changed,
            updated_at=now,
            revision=incident.revision + 1,
            alarms=alarms,
            alarm=kind.value if kind.alarms else incident.alarm,
        ),
    )


def _sentences(
    kind: ChangeKind, joined: list[LineKey], ended: list[LineKey], openers: list[Line], policy: Policy
) -> list[str]:
    """What the timeline says of a step."""
    said = []
    if kind is ChangeKind.RELAPSED:
        said.append(f"Back again: {clauses([line.key for line in openers if line.phase is Phase.FIRING])}.")
    elif joined:
        said.append(f"{capital(clauses(joined))} too.")
    if any(key.signal is Signal.NO_PREDICTIONS for key in ended):
        said.append("Predictions are back.")
    if rest := [key for key in ended if key.signal is not Signal.NO_PREDICTIONS]:
        said.append(f"Back to usual: {names(rest)}.")
    if kind is ChangeKind.RECOVERING:
        quiet = min(line.quiet for line in openers)
        said.append(f"Quiet for {quiet} of {policy.recover_after} windows.")
    return said


def _resolved(incident: Incident, lines: dict[LineKey, Line], seen: Seen, now: Micros) -> Incident:
    over = Entry(seen.end, f"Recovered after {length(max(0, seen.end - incident.since))}.")
    return msgspec.structs.replace(
        _measured(incident.entered(over), seen),
        state=State.RESOLVED,
        lines=tuple(sorted(lines.values(), key=lambda line: line.key.order)),
        resolved_at=now,
        updated_at=now,
        voice=Voice.OPEN,
        held=None,
        revision=incident.revision + 1,
    )


def _severity(openers: list[Line], policy: Policy) -> Severity:
    return max((policy.severity(line.key) for line in openers), key=list(Severity).index)


def _measured(incident: Incident, seen: Seen) -> Incident:
    """The incident with the window's rows and quiet columns; a quality window counts only rows that have a label."""
    end = max(incident.window_end, seen.end)
    incident = msgspec.structs.replace(
        incident, window_end=end, window_start=seen.start if end == seen.end else incident.window_start
    )
    if seen.kind != "drift" or not seen.findings:
        return incident
    usual = next((f.usual for f in seen.findings if f.metric == "rows" and f.segment is None), None)
    features = [
        f
        for f in seen.findings
        if f.signal is Signal.FEATURE_DRIFT and f.segment is None and not f.metric.startswith(SUITE)
    ]
    loud = {f.column for f in features if reading(f.verdict) is not Reading.QUIET}
    quiet = {f.column for f in features} - loud
    return msgspec.structs.replace(
        incident,
        rows=seen.rows,
        usual_rows=usual if usual is not None else incident.usual_rows,
        quiet_columns=len(quiet) if features else incident.quiet_columns,
    )
