"""Two tellings of one history held against each other: which incidents both have, and which only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from daemon.incidents.incident import Incident
from detectors.instants import Micros


class Outcome(StrEnum):
    """What a change makes of an incident."""

    KEPT = "kept"
    GAINED = "gained"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Pair:
    """An incident as it is told now, and as it would be told; one of the two may be missing."""

    present: Incident | None
    changed: Incident | None

    @property
    def outcome(self) -> Outcome:
        if self.present is None:
            return Outcome.GAINED
        return Outcome.LOST if self.changed is None else Outcome.KEPT

    @property
    def since(self) -> Micros:
        return min(one.since for one in (self.present, self.changed) if one is not None)


def compare(present: Sequence[Incident], changed: Sequence[Incident]) -> list[Pair]:
    """Incidents of one model and one family whose flagged windows overlap are the same; the longest overlap first.

    In the order of their beginnings. An incident that became two is kept once and gained once.
    """
    overlaps = sorted(
        (-length, one.since, i, j)
        for i, one in enumerate(present)
        for j, other in enumerate(changed)
        if (one.model, one.family) == (other.model, other.family) and (length := _overlap(one, other)) > 0
    )
    partner: dict[int, int] = {}
    for _, _, i, j in overlaps:
        if i not in partner and j not in partner.values():
            partner[i] = j
    pairs = [Pair(one, changed[partner[i]] if i in partner else None) for i, one in enumerate(present)]
    pairs += [Pair(None, other) for j, other in enumerate(changed) if j not in partner.values()]
    return sorted(pairs, key=lambda pair: pair.since)


def _overlap(one: Incident, other: Incident) -> Micros:
    return min(one.window_end, other.window_end) - max(one.since, other.since)
