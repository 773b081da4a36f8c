"""Whether driftd keeps up with its partitions: pure judgements on how far they have been read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.incidents.words import length
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import MINUTE, SECOND, Micros

LAG_LIMIT: Micros = 15 * MINUTE
STALL_LIMIT: Micros = 10 * MINUTE
CATCHING_UP = 1.5
"""A reader that reads so many times as much as is written is on its way to the end: there is nothing to be told."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where a partition stood at a wall instant: the next offset to read, and its end as Kafka last told it."""

    at: Micros
    next: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Partition:
    """How far one partition has been read. Offsets are those of the next record to read; times are wall clock.

    `end` and `asked_at` are the partition's end and when Kafka was asked for it, `moved_at` is when `next` last grew
    or nothing waited, and `last_record` the timestamp of the last record that was read. `looks` are earlier looks,
    oldest first; none while it is new, or the daemon.
    """

    topic: str
    number: int
    next: int
    end: int | None
    asked_at: Micros | None
    moved_at: Micros
    last_record: Micros | None
    looks: Sequence[Look] = ()

    @property
    def behind(self) -> bool:
        """Whether records wait to be read."""
        return self.end is not None and self.next < self.end

    def catches_up(self, now: Micros) -> bool:
        """Whether it may soon be read to its end, or nothing is known against it.

        That is so when everything that waited LAG_LIMIT ago has been read, when it has not been looked at for so long
        (a daemon or a model that has just started finds all that came before it), and while much more is read than is
        written.
        """
        before = [look for look in self.looks if now - look.at >= LAG_LIMIT]
        if not before:
            return True
        then = before[-1]
        if then.end is None or self.end is None or self.next >= then.end:
            return True
        read = self.next - then.next
        return read > 0 and read >= CATCHING_UP * (self.end - then.end)


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
            f"{first.topic}[{first.number}]{more}: nothing read for {length(now - first.moved_at)}, "
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


def lagging(partitions: Sequence[Partition], now: Micros) -> Finding | None:
    """How old the oldest partition's last record is while more records wait, in seconds.

    None while that is more than LAG_LIMIT and the reader catches up: then it is neither news nor over.
    """
    lags = {p: max(0, now - p.last_record) for p in partitions if p.behind and p.last_record is not None}
    late = {p: lag for p, lag in lags.items() if lag > LAG_LIMIT}
    told = {p: lag for p, lag in late.items() if not p.catches_up(now)}
    if late and not told:
        return None
    worst = max(told or lags, key=lambda p: lags[p], default=None)
    lag = 0 if worst is None else lags[worst]
    detail = None
    if told and worst is not None:
        waiting = sum((p.end or 0) - p.next for p in lags)
        detail = f"{worst.topic}[{worst.number}] is {length(lag)} behind; {waiting} records wait to be read"
    return Finding(
        signal=Signal.LAGGING,
        metric="lag",
        verdict=Verdict.VIOLATED if told else Verdict.OK,
        value=lag / SECOND,
        threshold=LAG_LIMIT / SECOND,
        flagged=bool(told),
        immediate=True,
        detail=detail,
    )
