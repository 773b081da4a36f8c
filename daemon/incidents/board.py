"""One model's lines and incidents, and the step that an observation makes them take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec

from daemon.incidents.grouping import Change, ChangeKind, Seen, regroup
from daemon.incidents.incident import FAMILIES, Entry, Incident
from daemon.incidents.lines import Facts, Line, LineKey, Phase, Reading, advance, expire, reading
from daemon.incidents.policy import INTERRUPTIONS, Policy
from daemon.incidents.words import clauses, day
from detectors.findings import SUITE, Finding, Signal, Verdict
from detectors.instants import Micros

MAX_LINES = 2_000
"""Lines that are not quiet which a model keeps; pending ones beyond that are cut off and counted."""
MAX_WINDOWS = 64
"""Windows whose verdicts are remembered for their revisions."""
MAX_RESOLVED = 4
"""Resolved incidents that a revision can still amend."""
MAX_INTERRUPTIONS = 16
INCOMPLETE_SHARE = 0.05
"""A window that lost this share of its length to a silence is incomplete. Less of a day moves no share of rows far
enough to be told from an ordinary day; holding a day's verdicts back for some quiet minutes would blind the model."""

Kind = Literal["drift", "quality", "silence"]


class Held(StrEnum):
    """Why an observation's drift and quality did not count."""

    INTERRUPTED = "predictions are missing"
    GAP = "rows of this window were lost"
    BEGUN = "reading began in this window"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one evaluation saw of a model: a window [start, end), its revision, rows and findings.

    For `silence` the window is the stretch in question: [last row, now), or [last row, next row); an `ok` finding's
    window starts where rows came back. `incomplete` says why rows of the window are known to be missing: some were lost
    (retention, a topic created anew), or reading began in it.
    """

    kind: Kind
    start: Micros
    end: Micros
    findings: Sequence[Finding]
    revision: int = 0
    rows: int = 0
    incomplete: Held | None = None


class Interruption(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stretch of event time in which the model's rows are missing; `end` is None while it lasts."""

    start: Micros
    end: Micros | None = None


class WindowVerdicts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a window said, kept for its revisions: the tokens of its flagged lines.

    `held` says why its drift and quality did not count; one that `failed` has said nothing yet.
    """

    kind: str
    start: Micros
    end: Micros
    revision: int = 0
    flagged: tuple[str, ...] = ()
    held: str | None = None
    failed: bool = False


class Board(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that the next step needs to know of a model. The store keeps it as JSON, one row a model."""

    model: str
    lines: tuple[Line, ...] = ()
    incidents: tuple[Incident, ...] = ()
    interruptions: tuple[Interruption, ...] = ()
    windows: tuple[WindowVerdicts, ...] = ()
    lines_cut: int = 0

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        return tuple(incident for incident in self.incidents if incident.open)

    def to_bytes(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Board:
        return msgspec.json.decode(data, type=cls)


@dataclass(frozen=True, slots=True)
class Step:
    """The board after an observation, and what people are to be told: at most one change an incident."""

    board: Board
    changes: tuple[Change, ...]


def step(board: Board, observation: Observation, policy: Policy, now: Micros) -> Step:
    """Advance the lines by the observation and let incidents open, change and end.

    A revision only amends the incident that its window belongs to, unless it is the first that says anything and no
    later window has spoken. The same observation twice is no second step.
    """
    if observation.kind == "silence":
        return _first(board, observation, policy, now)
    known = _known(board, observation)
    if known is not None and observation.revision <= known.revision:
        return Step(board, ())
    if known is not None and known.failed and not _overtaken(board, known):
        others = tuple(window for window in board.windows if window is not known)
        return _first(msgspec.structs.replace(board, windows=others), observation, policy, now)
    if observation.revision > 0:
        return _revised(board, observation, known, now) if known is not None else Step(board, ())
    return _first(board, observation, policy, now)


def _first(board: Board, observation: Observation, policy: Policy, now: Micros) -> Step:
    held = _held(board, observation)
    lines = {line.key: line for line in board.lines}
    decided: dict[LineKey, Finding] = {}
    flagged: list[str] = []
    # Data first: a column whose own data line fires in this very window holds its drift line back.
    for finding in sorted(observation.findings, key=lambda finding: finding.signal not in _DATA):
        key = LineKey.of(finding)
        if key.signal not in FAMILIES or key in decided or (held and not _counts_all_the_same(finding)):
            continue
        if _column_held(key, lines.values()):
            decided[key] = finding
            continue
        decided[key] = finding
        if reading(finding.verdict) is Reading.FLAGGED:
            flagged.append(key.token)
        line = advance(
            lines.get(key),
            finding,
            observation.kind,
            observation.start,
            observation.end,
            for_windows=policy.for_windows,
            recover_after=policy.recover_after,
        )
        if line is not None:
            lines[key] = line
    if not held:
        _expire_absent(lines, decided, observation, policy)
    interruptions = _interruptions(board.interruptions, lines.values(), observation)
    board = msgspec.structs.replace(board, interruptions=interruptions)
    waiting = any(span.end is None for span in interruptions) or _behind(lines.values())
    incidents, changes = regroup(
        board.model,
        board.incidents,
        sorted(lines.values(), key=lambda line: line.key.order),
        Seen(
            observation.kind,
            observation.start,
            observation.end,
            observation.rows,
            () if held else observation.findings,
            Held.INTERRUPTED if waiting else None,
        ),
        policy,
        now,
    )
    kept, cut = _limited([line for line in lines.values() if line.phase is not Phase.QUIET])
    windows = board.windows
    if observation.kind != "silence":
        verdicts = WindowVerdicts(
            observation.kind,
            observation.start,
            observation.end,
            observation.revision,
            tuple(sorted(flagged)),
            held,
            _failed(observation),
        )
        windows = (*windows, verdicts)[-MAX_WINDOWS:]
    board = msgspec.structs.replace(
        board, lines=kept, incidents=_remembered(incidents), windows=windows, lines_cut=board.lines_cut + cut
    )
    return Step(board, changes)


_OF_ROWS = frozenset({Signal.SCHEMA, Signal.DATA_QUALITY})
_DATA = _OF_ROWS | INTERRUPTIONS


def _held(board: Board, observation: Observation) -> str | None:
    """Why the window's drift and quality do not count, if they do not."""
    if observation.kind == "silence":
        return None
    if observation.incomplete is not None:
        return observation.incomplete
    missing = 0
    for span in board.interruptions:
        end = observation.end if span.end is None else span.end
        missing += max(0, min(end, observation.end) - max(span.start, observation.start))
    incomplete = missing > INCOMPLETE_SHARE * (observation.end - observation.start)
    return Held.INTERRUPTED if incomplete or _behind(board.lines) else None


def _counts_all_the_same(finding: Finding) -> bool:
    """Whether a finding counts in a window that misses rows: a rule that the rows which are there have broken.

    A model's own suite is not split by that: some of its conditions are on how many rows there are.
    """
    if finding.signal in INTERRUPTIONS:
        return True
    is_rule = finding.immediate and not finding.metric.startswith(SUITE)
    return is_rule and finding.signal in _OF_ROWS and reading(finding.verdict) is Reading.FLAGGED


def _failed(observation: Observation) -> bool:
    """Whether the evaluation as a whole failed, so that the window has yet to be judged."""
    return any(f.signal is Signal.DRIFTD and f.verdict is Verdict.ERROR for f in observation.findings)


def _overtaken(board: Board, window: WindowVerdicts) -> bool:
    """Whether a later window of the same kind has spoken: what counts windows does not go back."""
    return any(other.kind == window.kind and other.end > window.end and not other.failed for other in board.windows)


def _behind(lines: Iterable[Line]) -> bool:
    """Whether a standing partition or a lagging reader still owes rows, which may fall into any window."""
    return any(line.told and line.key.signal in (Signal.STALLED, Signal.LAGGING) for line in lines)


def _column_held(key: LineKey, lines: Iterable[Line]) -> bool:
    """Whether the column's own schema or data quality line fires, for these rows or for all."""
    if key.column is None or key.signal in _DATA:
        return False
    return any(
        line.phase is Phase.FIRING
        and line.key.signal in (Signal.SCHEMA, Signal.DATA_QUALITY)
        and not line.key.metric.startswith(SUITE)
        and line.key.column == key.column
        and line.key.segment in ((), key.segment)
        and line.key.version in (None, key.version)
        for line in lines
    )


def _expire_absent(
    lines: dict[LineKey, Line], decided: dict[LineKey, Finding], observation: Observation, policy: Policy
) -> None:
    """Let lines end whose version, segment or column no longer occurs; an evaluation that erred proves nothing.

    What a model's own suite says, or does not say, proves something of the suite's own lines alone.
    """
    findings = observation.findings
    verdicts = {finding.verdict for finding in findings if not finding.metric.startswith(SUITE)}
    if observation.kind == "silence" or all(reading(verdict) is Reading.UNDECIDED for verdict in verdicts):
        return
    # Of a suite's entry that said nothing the lines go by its name, or begin with it.
    silent = tuple(f.metric for f in findings if f.metric.startswith(SUITE) and reading(f.verdict) is Reading.UNDECIDED)
    for key, line in lines.items():
        if line.kind != observation.kind or key in decided:
            continue
        proven = not key.metric.startswith(silent) if key.metric.startswith(SUITE) else Verdict.ERROR not in verdicts
        if proven:
            lines[key] = expire(line, observation.start, observation.end, recover_after=policy.recover_after)


def _interruptions(
    spans: tuple[Interruption, ...], lines: Iterable[Line], observation: Observation
) -> tuple[Interruption, ...]:
    """The stretches without rows, the present one included, oldest first."""
    silent = [line for line in lines if line.key.signal is Signal.NO_PREDICTIONS]
    lasting = bool(spans) and spans[-1].end is None
    firing = [line.since for line in silent if line.told]
    if firing and not lasting:
        spans = (*spans, Interruption(min(firing)))
    elif lasting and silent and not firing:
        back = observation.start if observation.start > spans[-1].start else observation.end
        spans = (*spans[:-1], Interruption(spans[-1].start, back))
    return spans[-MAX_INTERRUPTIONS:]


def _limited(lines: list[Line]) -> tuple[tuple[Line, ...], int]:
    """At most MAX_LINES, those that have fired and the totals first."""
    if len(lines) > MAX_LINES:
        lines.sort(key=lambda line: (not line.told, len(line.key.segment) > 0, line.key.order))
    kept = sorted(lines[:MAX_LINES], key=lambda line: line.key.order)
    return tuple(kept), max(0, len(lines) - MAX_LINES)


def _remembered(incidents: tuple[Incident, ...]) -> tuple[Incident, ...]:
    """The open incidents and the last few resolved ones."""
    resolved = [incident for incident in incidents if not incident.open][-MAX_RESOLVED:]
    return tuple(incident for incident in incidents if incident.open or incident in resolved)


def _known(board: Board, observation: Observation) -> WindowVerdicts | None:
    for verdicts in reversed(board.windows):
        if (verdicts.kind, verdicts.start, verdicts.end) == (observation.kind, observation.start, observation.end):
            return verdicts
    return None


def _revised(board: Board, observation: Observation, known: WindowVerdicts, now: Micros) -> Step:
    """Amend the incident that the revised window belongs to; nothing opens, nothing resolves."""
    findings = {LineKey.of(finding): finding for finding in observation.findings}
    read = {key: reading(finding.verdict) for key, finding in findings.items()}
    before = set(known.flagged)
    now_flagged = {key.token for key, says in read.items() if says is Reading.FLAGGED}
    now_quiet = {key.token for key, says in read.items() if says is Reading.QUIET}
    ended, begun = before & now_quiet, now_flagged - before
    verdicts = msgspec.structs.replace(
        known, revision=observation.revision, flagged=tuple(sorted((before - ended) | begun))
    )
    lines = []
    for line in board.lines:
        if line.seen == observation.end and line.kind == observation.kind:
            if line.phase is Phase.PENDING and line.key.token in ended:
                continue  # Its newest sign is gone: it has to be seen anew.
            if line.key.token in now_flagged:
                facts = Facts.of(findings[line.key])
                line = msgspec.structs.replace(line, facts=facts, latest=facts)
        lines.append(line)
    by_key = {line.key: line for line in lines}
    incidents, changes = [], []
    for incident in board.incidents:
        amended = _amended(incident, by_key, observation, ended, begun, now)
        incidents.append(amended)
        if amended.revision != incident.revision:
            changes.append(Change(ChangeKind.AMENDED, amended))
    board = msgspec.structs.replace(
        board,
        lines=tuple(lines),
        incidents=tuple(incidents),
        windows=tuple(verdicts if window is known else window for window in board.windows),
    )
    return Step(board, tuple(changes))


def _amended(
    incident: Incident,
    lines: dict[LineKey, Line],
    observation: Observation,
    ended: set[str],
    begun: set[str],
    now: Micros,
) -> Incident:
    """The incident with a sentence for each way that a verdict of its own lines flipped."""
    if observation.end <= incident.since or observation.start >= incident.window_end:
        return incident
    own = {line.key.token: line.key for line in incident.lines}
    window = f"{day(observation.start)} to {day(observation.end)} was revised by late rows"
    entries = [
        Entry(observation.end, f"{window}: {verb} {clauses([own[token] for token in sorted(flips & own.keys())])}.")
        for flips, verb in ((ended, "no longer"), (begun, "now also"))
        if flips & own.keys()
    ]
    if not entries:
        return incident
    kept = tuple(lines.get(line.key, line) for line in incident.lines) if incident.open else incident.lines
    return msgspec.structs.replace(
        incident.entered(*entries), lines=kept, updated_at=now, revision=incident.revision + 1
    )


__all__ = ["Board", "Change", "ChangeKind", "Observation", "Policy", "Step", "step"]
