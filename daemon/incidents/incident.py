"""An incident: all lines that fire for one model in one family, from first to last."""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b

import msgspec

from daemon.incidents.cause import Cause
from daemon.incidents.lines import Line
from detectors.findings import Signal
from detectors.instants import Micros

MAX_TIMELINE = 50
"""Entries that an incident keeps; older ones are cut off and counted."""


class Family(StrEnum):
    """What an incident is about: the model's data, or what the model makes of it."""

    DATA = "data"
    MODEL = "model"


class State(StrEnum):
    """Where an incident stands."""

    FIRING = "firing"
    RECOVERING = "recovering"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How loudly it is told: the weekly digest, Slack now, or a pager."""

    DIGEST = "digest"
    NOTIFY = "notify"
    PAGE = "page"


class Voice(StrEnum):
    """Whether an incident may speak; it stands beside the state and never changes it."""

    OPEN = "open"
    HELD = "held"


FAMILIES: dict[Signal, Family] = {
    Signal.NO_PREDICTIONS: Family.DATA,
    Signal.STALLED: Family.DATA,
    Signal.LAGGING: Family.DATA,
    Signal.LABELS_MISSING: Family.DATA,
    Signal.SCHEMA: Family.DATA,
    Signal.DATA_QUALITY: Family.DATA,
    Signal.FEATURE_DRIFT: Family.MODEL,
    Signal.PREDICTION_DRIFT: Family.MODEL,
    Signal.LABEL_DRIFT: Family.MODEL,
    Signal.QUALITY: Family.MODEL,
    Signal.ESTIMATED_QUALITY: Family.MODEL,
}
"""The family of each signal; driftd's own trouble is no model's incident."""

RANK: dict[Signal, int] = {
    Signal.DRIFTD: 0,
    Signal.FEATURE_DRIFT: 1,
    Signal.LABEL_DRIFT: 2,
    Signal.ESTIMATED_QUALITY: 3,
    Signal.PREDICTION_DRIFT: 4,
    Signal.QUALITY: 5,
    Signal.LABELS_MISSING: 1,
    Signal.DATA_QUALITY: 2,
    Signal.SCHEMA: 3,
    Signal.LAGGING: 4,
    Signal.STALLED: 5,
    Signal.NO_PREDICTIONS: 6,
}
"""How grave a signal is within its family: the gravest gives an incident its headline."""


class Entry(msgspec.Struct, frozen=True):
    """One line of an incident's timeline: when, in event time, and a short plain sentence."""

    at: Micros
    text: str


class Incident(msgspec.Struct, frozen=True, omit_defaults=True):
    """One incident as it stands; the store keeps it as JSON.

    `since`, `window_start` and `window_end` are event time, and so is the timeline: a replay tells the same story.
    `opened_at`, `updated_at` and `resolved_at` are the `now` of the steps that brought it there. `revision` grows with
    each change, `alarms` with each that someone must look at (opened, worse, relapsed); `alarm` says why it last did.
    `causes` are what may have brought it about, the likeliest first, None while nobody has looked; `where` says in
    which segments it shows.
    """

    id: str
    model: str
    family: Family
    state: State
    severity: Severity
    since: Micros
    opened_at: Micros
    updated_at: Micros
    window_start: Micros
    window_end: Micros
    lines: tuple[Line, ...]
    timeline: tuple[Entry, ...] = ()
    resolved_at: Micros | None = None
    voice: Voice = Voice.OPEN
    held: str | None = None
    revision: int = 1
    alarms: int = 1
    alarm: str = "opened"
    peak: int = 0
    rows: int | None = None
    usual_rows: float | None = None
    quiet_columns: int = 0
    lines_cut: int = 0
    timeline_cut: int = 0
    causes: tuple[Cause, ...] | None = None
    where: str = ""

    @property
    def windows(self) -> int:
        """The disjoint windows that were flagged so far."""
        return max((line.flagged for line in self.lines), default=0)

    @property
    def open(self) -> bool:
        return self.state is not State.RESOLVED

    def entered(self, *entries: Entry) -> Incident:
        """The incident with more in its timeline."""
        timeline = self.timeline + entries
        cut = max(0, len(timeline) - MAX_TIMELINE)
        # The first entry says how it opened: what is cut off is what came right after it.
        kept = timeline if not cut else timeline[:1] + timeline[1 + cut :]
        return msgspec.structs.replace(self, timeline=kept, timeline_cut=self.timeline_cut + cut)

    def to_bytes(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Incident:
        return msgspec.json.decode(data, type=cls)


# Crockford's base 32: no letter that a person reads as a digit.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def incident_id(model: str, family: Family, since: Micros, opened_by: Micros) -> str:
    """A short name that follows from what opened the incident, so that a step taken twice names it alike.

    Thirty bits: one in two thousand that any two of a thousand incidents share one.

    >>> incident_id("flight-delay", Family.MODEL, 0, 86_400_000_000)
    'inc-9yeekb'
    """
    digest = blake2b(repr((model, family.value, since, opened_by)).encode(), digest_size=6).digest()
    number = int.from_bytes(digest, "big")
    return "inc-" + "".join(_ALPHABET[number >> shift & 31] for shift in range(0, 30, 5))
