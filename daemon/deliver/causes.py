"""Why an incident probably began, and what else changed just before it, in one line each."""

from __future__ import annotations

from datetime import UTC, tzinfo

from daemon.incidents.cause import Cause, CauseKind
from daemon.incidents.incident import Family, Incident
from daemon.incidents.words import day, listed

LIKELY = 0.2
"""A candidate that scores less is nothing that one would call likely; it is still named."""
MAX_EVENTS = 3
_ABSENT = {CauseKind.VERSION: "no new version", CauseKind.SCHEMA: "no schema change"}
"""What people ask first; that it did not happen is worth saying."""


def likely(incident: Incident, zone: tzinfo = UTC) -> str:
    """The likeliest cause; columns that moved together are one, and what else moved with an event is named with it."""
    causes = incident.causes or ()
    if not causes or causes[0].score < LIKELY:
        return ""
    columns = [cause.text for cause in causes if cause.kind is CauseKind.COLUMN]
    if causes[0].kind is CauseKind.COLUMN:
        return f"Likely cause: {_joined(columns)}"
    return f"Likely cause: {_event(causes[0], zone)}" + (f"; with it {_joined(columns)}" if columns else "")


def before(incident: Incident, zone: tzinfo = UTC) -> str:
    """The other things that changed about then, and of the two that people ask for first those that did not."""
    if incident.causes is None:
        return ""
    first = incident.causes[:1] if likely(incident, zone) else ()
    # Where it shows is said elsewhere, and a column is the first cause or goes with it.
    apart = (CauseKind.COLUMN, CauseKind.SEGMENT) if first else (CauseKind.SEGMENT,)
    events = [cause for cause in incident.causes if cause not in first and cause.kind not in apart]
    said = [listed([_event(cause, zone) for cause in events], MAX_EVENTS)] if events else []
    if incident.family is Family.MODEL:
        known = {cause.kind for cause in incident.causes}
        absent = [words for kind, words in _ABSENT.items() if kind not in known]
        said += [", ".join(absent)] if absent else []
    return f"Just before: {'; '.join(said)}" if said else ""


def _event(cause: Cause, zone: tzinfo) -> str:
    dated = cause.at is not None and cause.kind in (CauseKind.VERSION, CauseKind.SCHEMA, CauseKind.READING)
    return cause.text + (f", since {day(cause.at, zone)}" if dated and cause.at is not None else "")


def _joined(columns: list[str]) -> str:
    more = f" and {len(columns) - 2} more" if len(columns) > 2 else ""
    return "; ".join(columns[:2]) + more
