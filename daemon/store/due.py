"""Which windows have to be evaluated now: decided from committed rows alone, so that a missed tick loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, and_, func, or_, select

from daemon.store import labels as label_join
from daemon.store import names
from daemon.store.schema import evaluations, findings, label_panes, panes, progress
from detectors.findings import Signal
from detectors.instants import HOUR, Micros

NEW_ROWS_SHARE = 0.01
"""A revision before lateness closes needs more new rows than this share of those evaluated."""
KEPT_FOR_RETRY: Micros = 2 * HOUR
"""How long the labels of a window stay after its evaluation failed: it is tried again a few times."""

Retry = Callable[[Micros], bool]
"""Whether the failed window that ends at an instant is to be tried again now."""


@dataclass(frozen=True, slots=True)
class DueWindow:
    """One evaluation to be made; `kind` is "drift" or "quality".

    `rows` are the window's rows now (for quality: its joined labels, of `expected` kept predictions), `fingerprint`
    tells one set of joined labels from another of the same size. `watermark` is the event time that made it due, and
    `closed` says that no row can come any more: the result is final. All of them go into the `Evaluation` recorded.
    """

    model: str
    kind: str
    start: Micros
    end: Micros
    revision: int
    rows: int
    expected: int | None
    fingerprint: int
    watermark: Micros
    closed: bool


@dataclass(frozen=True, slots=True)
class QualityTerms:
    """When the windows of a model have their labels: at `coverage`, a share in 0..1, or when they are `at_most` old.

    They are `size` long, one each `every`. Where a prediction may have `several` labels, or none for good, no share of
    them tells anything: age alone decides.
    """

    size: Micros
    every: Micros
    coverage: float
    at_most: Micros
    allowed_lateness: Micros
    several: bool = False

    @property
    def closes(self) -> tuple[Micros, Micros]:
        """How long after a window's end its labels are waited for, and until when late ones make a revision."""
        return self.at_most, self.at_most + self.allowed_lateness


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What the latest revision of a window was made from, and whether it failed: an error is all that it says."""

    revision: int
    rows: int
    fingerprint: int
    watermark: Micros
    evaluated_at: Micros
    failed: bool = False


def due_drift(
    conn: Connection,
    model: str,
    *,
    size: Micros,
    every: Micros,
    pane: Micros,
    allowed_lateness: Micros,
    watermark: Micros | None,
    now: Micros,
    flush: bool = False,
    since: Micros | None = None,
    retry: Retry | None = None,
) -> list[DueWindow]:
    """The windows with rows whose end the watermark has passed and that are new or need a revision, in order.

    `now` is wall clock, or the model's event time under `clock: event`, the same as `Evaluation.evaluated_at`. `flush`
    asks for every stale window at once, at the end of a run. Windows that start before `since` are not looked at: the
    question costs as much as it has panes to add up. Those whose evaluation failed are due when `retry` says so.
    """
    if watermark is None:
        return []
    from_start = _from_start(conn, model, "profiles_kept_from", since)
    query = (
        select(panes.c.pane_start, func.sum(panes.c.rows))
        .where(panes.c.model == model, panes.c.pane_start >= from_start)
        .group_by(panes.c.pane_start)
    )
    rows = {start: int(count) for start, count in conn.execute(query).all()}
    done = _evaluated(conn, model, "drift", size, every, from_start)
    closes = (allowed_lateness, size - pane + allowed_lateness)
    due = []
    for end, count, before in done.complete(window_sums(rows, size, every), watermark):
        closed = watermark >= end + closes[1]
        again = retry is not None and retry(end)
        if is_due(before, count, 0, watermark, now, every, [end + length for length in closes], flush, again):
            revision = 0 if before is None else before.revision + 1
            due.append(DueWindow(model, "drift", end - size, end, revision, count, None, 0, watermark, closed))
    return due


def due_quality(
    conn: Connection,
    model: str,
    terms: QualityTerms,
    *,
    watermark: Micros | None,
    label_now: Micros | None,
    now: Micros,
    flush: bool = False,
    since: Micros | None = None,
    retry: Retry | None = None,
) -> list[DueWindow]:
    """The windows whose labels are mature, by coverage or by age, and that are new or need a revision, in order.

    `watermark` is that of the predictions: a window is whole before it is judged. `label_now` is wall clock, or under
    `clock: event` the labels' effective watermark; None leaves only coverage. Takes a
    microsecond or two for each waiting prediction of the windows that may be due: ask once a checkpoint at most.
    Windows that start before `since` are not looked at; those whose evaluation failed are due when `retry` says so.
    """
    size, every, several = terms.size, terms.every, terms.several
    model_id = names.number(conn, model)
    if watermark is None or model_id is None:
        return []
    from_start = _from_start(conn, model, "labels_kept_from", since)
    query = select(label_panes.c.pane_start, label_panes.c.kept).where(
        label_panes.c.model_id == model_id, label_panes.c.pane_start >= from_start
    )
    expected = {start: int(count) for start, count in conn.execute(query).all() if count}
    done = _evaluated(conn, model, "quality", size, every, from_start)
    age = -1 if label_now is None else label_now
    candidates = []
    for end, count, before in done.complete(window_sums(expected, size, every), watermark):
        closes = [end + length for length in terms.closes]
        again = before is not None and before.failed and retry is not None and retry(end)
        if before is None or again or _may_revise(before, age, now, every, closes, flush):
            candidates.append((end, count, before, closes, again))
    if not candidates:
        return []
    # Counting the labelled is the dear part: once for all the windows that may be due, by pane.
    labelled = label_join.coverage_by_pane(conn, model, candidates[0][0] - size, candidates[-1][0], several=several)
    joined = dict(window_sums({pane: one.joined for pane, one in labelled.items()}, size, every))
    fingerprints = dict(window_sums({pane: one.fingerprint for pane, one in labelled.items()}, size, every))
    due = []
    for end, count, before, closes, again in candidates:
        found, fingerprint = joined.get(end, 0), fingerprints.get(end, 0)
        if before is None:
            wanted = (not several and found >= terms.coverage * count) or age >= closes[0]
        else:
            wanted = is_due(before, found, fingerprint, age, now, every, closes, flush, again)
        if wanted:
            revision = 0 if before is None else before.revision + 1
            closed = age >= closes[-1]
            window = DueWindow(model, "quality", end - size, end, revision, found, count, fingerprint, age, closed)
            due.append(window)
    return due


def labels_needed_from(
    conn: Connection,
    model: str,
    terms: QualityTerms,
    *,
    watermark: Micros | None,
    label_now: Micros | None,
    since: Micros | None = None,
) -> Micros | None:
    """The first pane whose predictions and labels a window may still need: what is before it can expire.

    None while nothing can: the latest window that has closed, and been evaluated for the last time, decides. Windows
    that start before `since` are never evaluated. One whose evaluation failed may need them for KEPT_FOR_RETRY more.
    """
    if watermark is None or label_now is None:
        return None
    from_start = _from_start(conn, model, "labels_kept_from", since)
    failed = _evaluated(conn, model, "quality", terms.size, terms.every, from_start).latest
    every = terms.every
    closed_until = min((label_now - terms.closes[-1]) // every * every, watermark // every * every)
    waiting = due_quality(
        conn,
        model,
        terms,
        watermark=watermark,
        label_now=label_now,
        now=label_now,
        flush=True,
        since=since,
        retry=lambda end: label_now - failed[end].evaluated_at < KEPT_FOR_RETRY,
    )
    first_open = closed_until + every - terms.size
    return min([first_open, *(window.start for window in waiting)])


def window_sums(rows: Mapping[Micros, int], size: Micros, every: Micros) -> list[tuple[Micros, int]]:
    """The end and the rows of each window that has any, in order, from rows by pane start.

    >>> window_sums({0: 5, 60: 7}, size=120, every=60)
    [(60, 5), (120, 12), (180, 7)]
    """
    if not rows:
        return []
    starts = np.array(sorted(rows), dtype=np.int64)
    until = np.concatenate([[0], np.cumsum([rows[start] for start in starts.tolist()], dtype=np.int64)])
    first = (starts // every + 1) * every
    ends = np.unique(np.concatenate([first + step * every for step in range(-(-size // every))]))
    sums = until[np.searchsorted(starts, ends)] - until[np.searchsorted(starts, ends - size)]
    # A window that is shorter than its step, or the last step of one that is no multiple of it, may hold nothing.
    held = np.searchsorted(starts, ends) > np.searchsorted(starts, ends - size)
    return list(zip(ends[held].tolist(), sums[held].tolist(), strict=True))


def is_due(
    before: Evaluated | None,
    rows: int,
    fingerprint: int,
    watermark: Micros,
    now: Micros,
    every: Micros,
    closes: Iterable[Micros],
    flush: bool = False,
    retry: bool = False,
) -> bool:
    """Whether a window that could be evaluated should be: it never was, or what it holds has changed enough.

    `closes` are the instants at which its lateness closes. At each of them a window that has changed is evaluated once
    more, whatever has changed; otherwise at most once per `every`, and for more than NEW_ROWS_SHARE new rows. One that
    failed is evaluated again, changed or not, when it is time to `retry`.
    """
    if before is None or (before.failed and retry):
        return True
    if (rows, fingerprint) == (before.rows, before.fingerprint):
        return False
    if not _may_revise(before, watermark, now, every, closes, flush):
        return False
    if flush or _has_closed(before, watermark, closes) or watermark >= max(closes):
        return True
    return rows - before.rows > NEW_ROWS_SHARE * before.rows


def _may_revise(
    before: Evaluated, watermark: Micros, now: Micros, every: Micros, closes: Iterable[Micros], flush: bool
) -> bool:
    return flush or _has_closed(before, watermark, closes) or now - before.evaluated_at >= every


def _has_closed(before: Evaluated, watermark: Micros, closes: Iterable[Micros]) -> bool:
    """Whether lateness has closed since the last evaluation."""
    return any(before.watermark < close <= watermark for close in closes)


@dataclass(frozen=True, slots=True)
class _Done:
    """What has been evaluated, by window end; windows that end before `from_end` are not asked for any more."""

    latest: Mapping[Micros, Evaluated]
    from_end: Micros

    def complete(
        self, sums: Iterable[tuple[Micros, int]], watermark: Micros
    ) -> Iterator[tuple[Micros, int, Evaluated | None]]:
        """Of the windows' ends and rows those that the watermark has passed, with what was made of them before."""
        for end, count in sums:
            if self.from_end <= end <= watermark:
                yield end, count, self.latest.get(end)


def _from_start(conn: Connection, model: str, kept: str, since: Micros | None) -> Micros:
    """Where the first window starts that is looked at: not before `since`, nor where something has been deleted."""
    kept_from = conn.execute(select(progress.c[kept]).where(progress.c.model == model)).scalar()
    return max((instant for instant in (kept_from, since) if instant is not None), default=-(2**62))


def _evaluated(conn: Connection, model: str, kind: str, size: Micros, every: Micros, from_start: Micros) -> _Done:
    """The latest revision by window end, and until where windows of another size or step have been evaluated.

    After a change of `window:` the past is not evaluated once more in the new geometry.
    """
    of_kind = (evaluations.c.model == model, evaluations.c.kind == kind)
    other = conn.execute(
        select(func.max(evaluations.c.window_end)).where(
            *of_kind,
            or_(evaluations.c.window_end - evaluations.c.window_start != size, evaluations.c.every != every),
        )
    ).scalar()
    query = (
        select(
            evaluations.c.window_end,
            evaluations.c.revision,
            evaluations.c.rows,
            evaluations.c.fingerprint,
            evaluations.c.watermark,
            evaluations.c.evaluated_at,
            func.coalesce(findings.c.signal == Signal.DRIFTD.value, False),
        )
        # Of an evaluation that failed the error is the first finding.
        .outerjoin(findings, and_(findings.c.evaluation_id == evaluations.c.id, findings.c.number == 0))
        .where(
            *of_kind,
            evaluations.c.window_end >= from_start + size,
            evaluations.c.window_end - evaluations.c.window_start == size,
        )
        .order_by(evaluations.c.window_end, evaluations.c.revision)
    )
    latest = {row[0]: Evaluated(*row[1:]) for row in conn.execute(query).all()}
    return _Done(latest, max(from_start + size, 0 if other is None else other + 1))
