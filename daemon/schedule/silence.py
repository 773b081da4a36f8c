"""Whether rows still come, and whether driftd keeps up with them: pure judgements on what has been read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Literal

from detectors.findings import Finding, Signal, Verdict
from detectors.instants import DAY, MINUTE, SECOND, Micros, micros, rfc3339

SHORTEST_SILENCE: Micros = 30 * MINUTE
"""What `auto` never falls below: a model with a row a second pauses longer for a deployment."""
GAP_FACTOR = 1.5
LEARNING_DAYS = 3
LAG_LIMIT: Micros = 15 * MINUTE
STALL_LIMIT: Micros = 10 * MINUTE


@dataclass(frozen=True, slots=True)
class Allowance:
    """How long rows may stay away, and how long they usually do; `usual` is None when a duration was configured."""

    after: Micros
    usual: Micros | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The rows of one pane: how many, the first and the last event time."""

    first: Micros
    last: Micros
    rows: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch without rows: the last row before it and the first one after it."""

    last_row: Micros
    next_row: Micros


@dataclass(frozen=True, slots=True)
class Partition:
    """How far one partition has been read. Offsets are those of the next record to read; times are wall clock.

    `end` and `asked_at` are the partition's end and when Kafka was asked for it, `moved_at` is when `next` last grew,
    and `last_record` the timestamp of the last record that was read.
    """

    topic: str
    number: int
    next: int
    end: int | None
    asked_at: Micros | None
    moved_at: Micros
    last_record: Micros | None

    @property
    def behind(self) -> bool:
        """Whether records wait to be read."""
        return self.end is not None and self.next < self.end


@dataclass(frozen=True, slots=True)
class Lost:
    """Offsets [from_offset, to_offset) of a partition that were never read, and why in words."""

    topic: str
    partition: int
    from_offset: int
    to_offset: int
    reason: str

    @property
    def offsets(self) -> int:
        return max(0, self.to_offset - self.from_offset)


def allowance(
    setting: timedelta | Literal["auto"], reference_gap: Micros | None, live_gap: Micros | None
) -> Allowance | None:
    """How long rows may stay away; None while `auto` has nothing to learn from.

    `auto` takes half as long again as the usual gap: the reference's, which no outage of today can widen, else that of
    the traffic so far.
    """
    if setting != "auto":
        return Allowance(micros(setting))
    usual = reference_gap if reference_gap is not None else live_gap
    if usual is None:
        return None
    return Allowance(max(SHORTEST_SILENCE, int(GAP_FACTOR * usual)), usual)


def live_gap(spans: Iterable[Span]) -> Micros | None:
    """The usual gap of the traffic so far: the second largest of its days' longest gaps; None before the third day.

    Second largest, so that one outage does not teach driftd to expect the next. Within a pane only the first and last
    row are known: a pane with few rows counts with three times its mean gap.
    """
    longest: dict[int, Micros] = {}

    def note(at: Micros, gap: Micros) -> None:
        longest[at // DAY] = max(gap, longest.get(at // DAY, 0))

    ordered = sorted(spans, key=lambda span: span.first)
    for span in ordered:
        if span.rows > 1:
            length = span.last - span.first
            note(span.first, min(length, 3 * length // (span.rows - 1)))
    for before, after in pairwise(ordered):
        note(before.last, max(0, after.first - before.last))
    if len(longest) < LEARNING_DAYS:
        return None
    return sorted(longest.values())[-2]


def proven_stretches(spans: Iterable[Span], allowed: Allowance, after: Micros, until: Micros) -> list[Stretch]:
    """The silences that a later row has proven: those longer than allowed whose next row lies in (after, until]."""
    found = []
    last: Micros | None = None
    for span in sorted(spans, key=lambda span: span.first):
        if last is not None and span.first - last > allowed.after and after < span.first <= until:
            found.append(Stretch(last, span.first))
        last = span.last if last is None else max(last, span.last)
    return found


def no_predictions(last_row: Micros, until: Micros, allowed: Allowance) -> Finding:
    """The judgement on a silence from `last_row` to `until`, which is now or the next row. Values are seconds."""
    silence = until - last_row
    violated = silence > allowed.after
    detail = None
    if violated:
        usual = f"usual gap at most {_length(allowed.usual)}" if allowed.usual is not None else "the configured limit"
        detail = (
            f"no row since {rfc3339(last_row)}: {_length(silence)}, allowed {_length(allowed.after)} ({usual}); "
            "every partition is read to its end"
        )
    return Finding(
        signal=Signal.NO_PREDICTIONS,
        metric="silence",
        verdict=Verdict.VIOLATED if violated else Verdict.OK,
        value=silence / SECOND,
        threshold=allowed.after / SECOND,
        usual=None if allowed.usual is None else allowed.usual / SECOND,
        current=silence / SECOND,
        flagged=violated,
        immediate=True,
        detail=detail,
    )


def caught_up(partitions: Sequence[Partition], now: Micros, within: Micros) -> bool:
    """Whether Kafka has said, at most `within` ago, that nothing waits: else a silence is not the producer's."""
    return bool(partitions) and all(
        not partition.behind and partition.asked_at is not None and now - partition.asked_at <= within
        for partition in partitions
    )


def stalled(partitions: Sequence[Partition], now: Micros) -> Finding:
    """Partitions whose records wait while nothing is read of them; the value is how many."""
    standing = [p for p in partitions if p.behind and now - p.moved_at > STALL_LIMIT]
    detail = None
    if standing:
        first = standing[0]
        more = f" and {len(standing) - 1} more" if len(standing) > 1 else ""
        detail = (
            f"{first.topic}[{first.number}]{more}: nothing read for {_length(now - first.moved_at)}, "
            f"stands at offset {first.next} of {first.end}"
        )
    return Finding(
        signal=Signal.STALLED,
        metric="stalled_partitions",
        verdict=Verdict.VIOLATED if standing else Verdict.OK,
        value=float(len(standing)),
        threshold=0.0,
        flagged=bool(standing),
        immediate=True,
        detail=detail,
    )


def lagging(partitions: Sequence[Partition], now: Micros) -> Finding:
    """How old the oldest partition's last record is while more records wait, in seconds."""
    behind = [p for p in partitions if p.behind and p.last_record is not None]
    lags = {p: now - p.last_record for p in behind if p.last_record is not None}
    worst = max(lags, key=lambda p: lags[p], default=None)
    lag = max(0, lags[worst]) if worst is not None else 0
    violated = lag > LAG_LIMIT
    detail = None
    if violated and worst is not None:
        waiting = sum((p.end or 0) - p.next for p in behind)
        detail = f"{worst.topic}[{worst.number}] is {_length(lag)} behind; {waiting} records wait to be read"
    return Finding(
        signal=Signal.LAGGING,
        metric="lag",
        verdict=Verdict.VIOLATED if violated else Verdict.OK,
        value=lag / SECOND,
        threshold=LAG_LIMIT / SECOND,
        flagged=violated,
        immediate=True,
        detail=detail,
    )


def lost_offsets(lost: Sequence[Lost]) -> Finding:
    """Records that were never read because the log no longer had them; the value is how many offsets."""
    total = sum(one.offsets for one in lost)
    first = [f"{one.topic}[{one.partition}] {one.from_offset} to {one.to_offset}: {one.reason}" for one in lost[:3]]
    more = [f"and {len(lost) - 3} more"] if len(lost) > 3 else []
    return Finding(
        signal=Signal.DATA_QUALITY,
        metric="lost_offsets",
        verdict=Verdict.VIOLATED if lost else Verdict.OK,
        value=float(total),
        threshold=0.0,
        flagged=bool(lost),
        immediate=True,
        detail="; ".join([*first, *more]) or None,
    )


def labels_missing(expected: int, joined: int, coverage: float) -> Finding:
    """The judgement on a window whose labels have had all the time they get: fewer than half of what is asked for."""
    share = joined / expected if expected else 1.0
    limit = coverage / 2
    violated = share < limit
    return Finding(
        signal=Signal.LABELS_MISSING,
        metric="label_coverage",
        verdict=Verdict.VIOLATED if violated else Verdict.OK,
        rows=expected,
        value=share,
        threshold=limit,
        current=share,
        flagged=violated,
        immediate=True,
        detail=f"{joined} of {expected} predictions have a label; {coverage:.0%} were expected" if violated else None,
    )


def _length(length: Micros) -> str:
    """A length of time in its two largest units.

    >>> _length(43 * MINUTE), _length(DAY + 90 * MINUTE)
    ('43 min', '1 d 1 h')
    """
    parts: list[str] = []
    for unit, name in ((DAY, "d"), (60 * MINUTE, "h"), (MINUTE, "min"), (SECOND, "s")):
        if length >= unit and len(parts) < 2:
            parts.append(f"{length // unit} {name}")
            length %= unit
        elif parts:
            break
    return " ".join(parts) or "0 s"
