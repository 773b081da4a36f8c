"""The state of one line: what `for` and `recover_after` count on."""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b

import msgspec

from detectors.findings import FIRING, Finding, Signal, Verdict
from detectors.instants import Micros


class Phase(StrEnum):
    """Where a line stands; a line that is quiet is not kept."""

    QUIET = "quiet"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"


class Reading(StrEnum):
    """What a verdict says to a line."""

    FLAGGED = "flagged"
    QUIET = "quiet"
    UNDECIDED = "undecided"


def reading(verdict: Verdict) -> Reading:
    """Tell flagged from quiet; an error, missing data and a column still calibrating are neither.

    >>> reading(Verdict.DRIFT), reading(Verdict.OK), reading(Verdict.ERROR)
    (<Reading.FLAGGED: 'flagged'>, <Reading.QUIET: 'quiet'>, <Reading.UNDECIDED: 'undecided'>)
    """
    if verdict in FIRING:
        return Reading.FLAGGED
    return Reading.QUIET if verdict is Verdict.OK else Reading.UNDECIDED


class LineKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """What names a line within its model; `segment` holds (column, value) pairs in order of the column."""

    signal: Signal
    metric: str
    column: str | None = None
    segment: tuple[tuple[str, str], ...] = ()
    version: str | None = None

    @classmethod
    def of(cls, finding: Finding) -> LineKey:
        return cls(
            signal=finding.signal,
            metric=finding.metric,
            column=finding.column,
            segment=tuple(sorted((finding.segment or {}).items())),
            version=finding.version,
        )

    @property
    def order(self) -> tuple[str, str, str, tuple[tuple[str, str], ...], str]:
        """A total order, so that equal observations give equal bytes."""
        return (self.signal, self.column or "", self.metric, self.segment, self.version or "")

    @property
    def token(self) -> str:
        """Twelve hexadecimal digits that stand for the key where only its identity matters."""
        return blake2b(repr(self.order).encode(), digest_size=6).hexdigest()


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a finding measured, as `Finding` explains it."""

    verdict: Verdict
    rows: int = 0
    value: float | None = None
    threshold: float | None = None
    noise_floor: float | None = None
    p_value: float | None = None
    driver: str | None = None
    usual: float | None = None
    current: float | None = None
    detail: str | None = None
    estimated: bool = False

    @classmethod
    def of(cls, finding: Finding) -> Facts:
        return cls(
            verdict=finding.verdict,
            rows=finding.rows,
            value=finding.value,
            threshold=finding.threshold,
            noise_floor=finding.noise_floor,
            p_value=finding.p_value,
            driver=finding.driver,
            usual=finding.usual,
            current=finding.current,
            detail=finding.detail,
            estimated=finding.estimated,
        )


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line that is not quiet. Instants are event time.

    `flagged` and `quiet` count disjoint windows: all flagged ones, and the quiet ones in a row since the last of
    them; `counted_until` is the end of the last window that counted. `facts` are those of the last flagged window,
    `latest` those of the last window that was decided either way. `since` is the start of the first flagged window.
    """

    key: LineKey
    kind: str
    phase: Phase
    since: Micros
    counted_until: Micros
    seen: Micros
    facts: Facts
    latest: Facts
    flagged: int = 1
    quiet: int = 0
    immediate: bool = False

    @property
    def told(self) -> bool:
        """Whether the line has fired and has not ended."""
        return self.phase in (Phase.FIRING, Phase.RECOVERING)


def advance(
    line: Line | None,
    finding: Finding,
    kind: str,
    start: Micros,
    end: Micros,
    *,
    for_windows: int,
    recover_after: int,
) -> Line | None:
    """The line after the window [start, end) gave `finding`; None or phase QUIET when it is quiet.

    A line that has counted a window looks next at one that starts where that one ended, or later: windows that
    overlap share rows, and two of them flagged are not two independent signs (verdicts.md, Budget). An immediate
    finding (a rule, a silence) fires and ends at once.
    """
    match reading(finding.verdict):
        case Reading.UNDECIDED:
            return line
        case Reading.FLAGGED:
            return _flagged(line, finding, kind, start, end, for_windows)
        case Reading.QUIET:
            return _quiet(line, finding, start, end, recover_after)


def expire(line: Line, start: Micros, end: Micros, *, recover_after: int) -> Line:
    """The line after a window in which what it is about no longer occurs, such as a version that left."""
    return _count_quiet(line, start, end, recover_after)


def _flagged(line: Line | None, finding: Finding, kind: str, start: Micros, end: Micros, for_windows: int) -> Line:
    facts = Facts.of(finding)
    at_once = finding.immediate or for_windows <= 1
    if line is None:
        return Line(
            key=LineKey.of(finding),
            kind=kind,
            phase=Phase.FIRING if at_once else Phase.PENDING,
            since=start,
            counted_until=end,
            seen=end,
            facts=facts,
            latest=facts,
            immediate=finding.immediate,
        )
    counts = start >= line.counted_until
    if line.phase is Phase.RECOVERING and not (counts or finding.immediate):
        return line
    flagged = line.flagged + counts
    fires = at_once or line.phase is not Phase.PENDING or flagged >= for_windows
    return msgspec.structs.replace(
        line,
        phase=Phase.FIRING if fires else Phase.PENDING,
        flagged=flagged,
        quiet=0,
        counted_until=end if counts else line.counted_until,
        seen=end,
        facts=facts,
        latest=facts,
        immediate=finding.immediate,
    )


def _quiet(line: Line | None, finding: Finding, start: Micros, end: Micros, recover_after: int) -> Line | None:
    if line is None:
        return None
    line = msgspec.structs.replace(line, immediate=finding.immediate)
    if not line.immediate and start < line.counted_until:
        return line
    return _count_quiet(msgspec.structs.replace(line, latest=Facts.of(finding)), start, end, recover_after)


def _count_quiet(line: Line, start: Micros, end: Micros, recover_after: int) -> Line:
    if line.immediate or line.phase is Phase.PENDING:
        if line.immediate or start >= line.counted_until:
            return msgspec.structs.replace(line, phase=Phase.QUIET, quiet=line.quiet + 1)
        return line
    if start < line.counted_until:
        return line
    quiet = line.quiet + 1
    phase = Phase.QUIET if quiet >= recover_after else Phase.RECOVERING
    return msgspec.structs.replace(line, phase=phase, quiet=quiet, counted_until=end)
