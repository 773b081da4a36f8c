"""Whether rows and labels still come, and whether any were lost: pure judgements on what has been read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Literal

from daemon.incidents.words import length
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import DAY, MINUTE, SECOND, Micros, micros, rfc3339

SHORTEST_SILENCE: Micros = 30 * MINUTE
"""What `auto` never falls below: a model with a row a second pauses longer for a deployment."""
GAP_FACTOR = 1.5
LEARNING_DAYS = 3
UNKNOWN_SILENCE: Micros = DAY
"""What `auto` allows at least while there is nothing to learn from: no row yet, or too few days of them."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How long rows may stay away, and how long they usually do.

    `usual` is None when a duration was configured, and when it is `unknown`.
    """

    after: Micros
    usual: Micros | None = None
    unknown: bool = False


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
class Lost:
    """Offsets [from_offset, to_offset) of a partition that were never read, and why in words.

    They may have held event times from `since` (None: any) to `known_at`, that of the first row after them; None while
    there is none.
    """

    topic: str
    partition: int
    from_offset: int
    to_offset: int
    reason: str
    since: Micros | None = None
    known_at: Micros | None = None

    @property
    def offsets(self) -> int:
        return max(0, self.to_offset - self.from_offset)


@dataclass(frozen=True, slots=True)
class LostChange:
    """The offsets that count as lost from an instant of event time on; none when they are over."""

    known_at: Micros
    lost: tuple[Lost, ...]


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


def until_known(allowed: Allowance | None, setting: timedelta | Literal["auto"], *, has_rows: bool) -> Allowance:
    """What is allowed now: `allowed`, but with `auto` no less than UNKNOWN_SILENCE before there is anything usual.

    Before its first row a model may still be on its way into service, whatever its reference says of ordinary gaps.
    """
    if allowed is None:
        return Allowance(UNKNOWN_SILENCE, unknown=True)
    if setting == "auto" and not has_rows and allowed.after < UNKNOWN_SILENCE:
        return Allowance(UNKNOWN_SILENCE, allowed.usual, unknown=True)
    return allowed


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


def no_predictions(last_row: Micros, until: Micros, allowed: Allowance, *, never: str | None = None) -> Finding:
    """The judgement on a silence from `last_row` to `until`, which is now or the next row. Values are seconds.

    `never` says why there has been no row at all: then `last_row` is when reading began.
    """
    silence = until - last_row
    violated = silence > allowed.after
    detail = None
    if violated:
        usual = f"usual gap at most {length(allowed.usual)}" if allowed.usual is not None else "the configured limit"
        usual = "nothing to learn from yet" if allowed.unknown else usual
        since = rfc3339(last_row)
        detail = (
            f"no row {f'since {since}' if never is None else f'so far, read since {since}'}: "
            f"{length(silence)}, allowed {length(allowed.after)} ({usual}); "
            f"{never or 'every partition is read to its end'}"
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
        driver=never if violated else None,
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


def lost_changes(lost: Sequence[Lost], lasts: Micros, after: Micros, until: Micros) -> list[LostChange]:
    """What is to be told of lost offsets in (after, until], in order: when they become known, and when they are over.

    They are told for as long as they `last`: a window. Offsets of which no instant is known yet are left out.
    """
    known = [(one.known_at, one) for one in lost if one.known_at is not None]
    instants = {instant for at, _ in known for instant in (at, at + lasts)}
    return [
        LostChange(instant, tuple(one for at, one in known if at <= instant < at + lasts))
        for instant in sorted(instants)
        if after < instant <= until
    ]


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
