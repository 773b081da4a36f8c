"""Looking back at one window: how near each value came to being told, and what was still missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daemon.incidents.board import WindowVerdicts
from daemon.incidents.lines import Line, LineKey, Phase, Reading, advance, expire, reading
from daemon.incidents.policy import Policy
from detectors.findings import FIRING, Finding, Signal, Verdict

P_VALUES = frozenset({"chisquare", "ks", "z"})
"""Drift methods whose value is a p-value: the smaller, the worse."""
FARTHEST = 1_000.0

Remembered = tuple[WindowVerdicts, Finding | None]
"""A window that a board remembers, and what it said of one line."""


def nearness(finding: Finding) -> float:
    """How near a value came to its limit: 0 as usual, 1 at the limit, more beyond it; up to FARTHEST.

    >>> nearness(Finding(Signal.FEATURE_DRIFT, "psi", Verdict.OK, value=0.08, threshold=0.1))
    0.8
    >>> nearness(Finding(Signal.FEATURE_DRIFT, "ks", Verdict.OK, value=0.1, threshold=0.05))
    0.5
    >>> nearness(Finding(Signal.QUALITY, "roc_auc", Verdict.OK, value=0.8, threshold=0.7, usual=0.9))
    0.5
    """
    value, limit = finding.value, finding.threshold
    if value is None or limit is None:
        return 0.0
    if finding.signal in (Signal.QUALITY, Signal.ESTIMATED_QUALITY) and finding.usual not in (None, limit):
        assert finding.usual is not None
        share = (value - finding.usual) / (limit - finding.usual)
    elif finding.metric in P_VALUES:
        share = limit / max(value, 1e-12)
    elif limit:
        share = abs(value) / abs(limit)
    else:
        share = FARTHEST if value else 0.0
    return round(min(FARTHEST, max(0.0, share)), 6)


def as_of(key: LineKey, windows: Iterable[Remembered], kind: str, policy: Policy) -> Line | None:
    """The line after these windows of one kind, in order, as the board counted them; None while it is quiet.

    What a window says of a line counts where the board says so: one that was held back, or a column whose own data
    line fired in it, does not.
    """
    line: Line | None = None
    for window, finding in windows:
        flagged = key.token in window.flagged
        if window.failed or (window.held is not None and not flagged):
            continue
        if finding is None:
            after = line and expire(line, window.start, window.end, recover_after=policy.recover_after)
        elif reading(finding.verdict) is Reading.FLAGGED and not flagged:
            continue
        else:
            after = advance(
                line,
                finding,
                kind,
                window.start,
                window.end,
                for_windows=policy.for_windows,
                recover_after=policy.recover_after,
            )
        line = after if after is not None and after.phase is not Phase.QUIET else None
    return line


@dataclass(frozen=True, slots=True)
class Significance:
    """What a p-value was held against: the level of its share of the budget, among how many values of one window.

    `share` names the share, `portion`, 0..1, is how much of the model's false alarms it is.
    """

    level: float
    values: int
    share: str = ""
    portion: float = 0.0


@dataclass(frozen=True, slots=True)
class Counted:
    """What is remembered of a window and a line: why it was held back, if it was, and the line after it."""

    held: str | None
    line: Line | None


def why(finding: Finding, policy: Policy, *, counted: Counted | None, test: Significance | None, told: bool) -> str:
    """Why a value was told or was not, in one sentence; `counted` is None where that is not remembered."""
    key = LineKey.of(finding)
    match finding.verdict:
        case Verdict.ERROR:
            return f"it could not be judged: {finding.detail}"
        case Verdict.INSUFFICIENT_DATA | Verdict.NO_DATA:
            return finding.detail or f"too few rows: {finding.rows}"
        case Verdict.CALIBRATING:
            return _muted(finding, "while fewer than 14 ordinary windows are known nobody is told")
        case Verdict.UNCALIBRATED:
            return _muted(finding, "the reference has no event times that show what is ordinary, so nobody is told")
        case Verdict.OK:
            return _quiet(finding, test)
    if told:
        return "told"
    if counted is None:
        return "flagged and not told; how far it had counted is not known any more"
    line = counted.line
    if counted.held is not None and not finding.immediate:
        return f"flagged, but its window is held back: {counted.held}"
    if key.signal is Signal.FEATURE_DRIFT and not policy.opens(key):
        return "flagged; drift of a column that is not listed as important is told only with another incident"
    if line is None:
        return "flagged, but held back: the column's own schema or data quality fires, or a later look took it back"
    if not line.immediate and line.flagged < policy.for_windows:
        return f"flagged in {line.flagged} of {policy.for_windows} disjoint windows"
    return "flagged"


def _muted(finding: Finding, reason: str) -> str:
    return f"it would be flagged, but {reason}" if finding.flagged else reason


def _quiet(finding: Finding, test: Significance | None) -> str:
    if nearness(finding) < 1.0:
        return "within its limit"
    if finding.immediate or finding.p_value is None or test is None:
        return "at its limit at most, which is allowed"
    if finding.p_value > test.level:
        return f"beyond its limit, but an ordinary window may be: p {finding.p_value:.2g} is above {test.level:.2g}"
    return f"beyond its limit, but among {test.values} values one p of {finding.p_value:.2g} is no surprise"


def order(found: Sequence[Finding]) -> list[int]:
    """The places of findings: those that fired, then errors, then by how near they came to their limits."""

    def near(place: int) -> tuple[int, float, float]:
        finding = found[place]
        first = 0 if finding.verdict in FIRING else 1 if finding.verdict is Verdict.ERROR else 2
        return (first, -nearness(finding), 1.0 if finding.p_value is None else finding.p_value)

    return sorted(range(len(found)), key=near)
