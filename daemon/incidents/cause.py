"""What may have brought an incident about."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from detectors.instants import Micros


class CauseKind(StrEnum):
    """What kind of thing changed."""

    SCHEMA = "schema"
    VALUES = "values"
    VERSION = "version"
    LATE_ROWS = "late_rows"
    LOST_ROWS = "lost_rows"
    COLUMN = "column"
    ROWS = "rows"
    LABELS = "labels"
    READING = "reading"
    NEIGHBOUR = "neighbour"
    SEGMENT = "segment"


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """One candidate, in words without an instant; `at` is when it began, in event time, where that is known.

    `score`, 0..1, orders the candidates of one incident and is no probability; `reason` says where it comes from.
    """

    kind: CauseKind
    text: str
    score: float
    reason: str
    at: Micros | None = None
    column: str | None = None
