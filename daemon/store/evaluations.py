"""Evaluations that were made, and their findings: what `driftd results` shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields

import msgspec
from sqlalchemy import Connection, Row, Select, case, func, insert, select
from sqlalchemy.exc import IntegrityError

from daemon.store import labels
from daemon.store.errors import AlreadyEvaluated
from daemon.store.schema import evaluations, findings
from daemon.store.watermarks import advance_watermark
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import Micros


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One (model, kind, window, revision), with what it was made from.

    `rows`, `expected`, `fingerprint` and `watermark` are those of the `DueWindow`; `every` is the step of its windows.
    `evaluated_at` is by the same clock as the `now` that due windows are asked with. Kinds other than "drift" and
    "quality" (silence, stalls, the daemon's own trouble) use the same record with a window of their own.
    """

    model: str
    kind: str
    window_start: Micros
    window_end: Micros
    revision: int
    every: Micros
    rows: int
    expected: int | None
    fingerprint: int
    watermark: Micros
    evaluated_at: Micros
    reference: str | None
    config_hash: str
    driftd_version: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding with what the incidents made of it."""

    finding: Finding
    severity: str | None = None
    incident: str | None = None


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One finding as programs read it; instants are microseconds, `segment` is None for the total."""

    model: str
    kind: str
    window_start: Micros
    window_end: Micros
    revision: int
    reference: str | None
    config_hash: str
    driftd_version: str
    evaluated_at: Micros
    signal: str
    column: str | None
    metric: str
    version: str | None
    segment: dict[str, str] | None
    rows: int
    value: float | None
    threshold: float | None
    noise_floor: float | None
    p_value: float | None
    verdict: str
    severity: str | None
    incident: str | None
    flagged: bool
    immediate: bool
    estimated: bool
    driver: str | None
    usual: float | None
    current: float | None
    detail: str | None

    @property
    def finding(self) -> Finding:
        """The finding alone, as it was judged."""
        return Finding(
            signal=Signal(self.signal),
            verdict=Verdict(self.verdict),
            **{name: getattr(self, name) for name in _SHARED},
        )


_SHARED = tuple(field.name for field in fields(Finding) if field.name not in ("signal", "verdict"))
_OF_EVALUATION = ResultRow.__match_args__[:9]
_OF_FINDING = ResultRow.__match_args__[9:]


def record(conn: Connection, evaluation: Evaluation, judged: Sequence[Judged], *, several_labels: bool = False) -> int:
    """Record an evaluation with its findings, in the transaction that applies them to the incidents; returns its id.

    Recording a drift evaluation remembers how far the watermark had come; a quality one counts its labels as joined,
    all of an id's where there may be several.

    Raises:
        AlreadyEvaluated: this revision has been recorded; the caller's transaction must be given up as a whole.
    """
    try:
        number: int = conn.execute(
            insert(evaluations).values(asdict(evaluation)).returning(evaluations.c.id)
        ).scalar_one()
    except IntegrityError as error:
        raise AlreadyEvaluated(
            f"{evaluation.model}: revision {evaluation.revision} of the {evaluation.kind} window "
            f"[{evaluation.window_start}, {evaluation.window_end}) has been recorded before."
        ) from error
    rows = [_row(number, place, one) for place, one in enumerate(judged)]
    if rows:
        conn.execute(insert(findings), rows)
    if evaluation.kind == "drift":
        advance_watermark(conn, evaluation.model, evaluation.watermark)
    elif evaluation.kind == "quality":
        start, end = evaluation.window_start, evaluation.window_end
        labels.mark_joined(conn, evaluation.model, start, end, several=several_labels)
    return number


def _row(evaluation_id: int, number: int, judged: Judged) -> dict[str, object]:
    finding = judged.finding
    segment = None if finding.segment is None else msgspec.json.encode(finding.segment).decode()
    return {
        "evaluation_id": evaluation_id,
        "number": number,
        "signal": finding.signal.value,
        "column": finding.column,
        "metric": finding.metric,
        "version": finding.version,
        "segment": segment,
        "rows": finding.rows,
        "value": finding.value,
        "threshold": finding.threshold,
        "noise_floor": finding.noise_floor,
        "p_value": finding.p_value,
        "verdict": finding.verdict.value,
        "severity": judged.severity,
        "incident": judged.incident,
        "flagged": finding.flagged,
        "immediate": finding.immediate,
        "estimated": finding.estimated,
        "driver": finding.driver,
        "usual": finding.usual,
        "current": finding.current,
        "detail": finding.detail,
    }


def results(
    conn: Connection,
    *,
    model: str | None = None,
    kind: str | None = None,
    since: Micros | None = None,
    until: Micros | None = None,
    incident: str | None = None,
    verdicts: Collection[str] | None = None,
    final_only: bool = False,
) -> Iterator[ResultRow]:
    """Findings by model, window, kind and revision, read as they are asked for.

    `since` and `until` bound the window's end, [since, until). `final_only` leaves out every revision but a window's
    last one so far.
    """
    query = (
        select(*(evaluations.c[name] for name in _OF_EVALUATION), *(findings.c[name] for name in _OF_FINDING))
        .join(findings, findings.c.evaluation_id == evaluations.c.id)
        .order_by(
            evaluations.c.model,
            evaluations.c.window_end,
            evaluations.c.window_start,
            evaluations.c.kind,
            evaluations.c.revision,
            findings.c.number,
        )
    )
    query = _bounded(query, model, kind, since, until)
    if incident is not None:
        query = query.where(findings.c.incident == incident)
    if verdicts is not None:
        query = query.where(findings.c.verdict.in_(verdicts))
    if final_only:
        later = evaluations.alias("later")
        query = query.where(
            ~select(later.c.id)
            .where(
                later.c.model == evaluations.c.model,
                later.c.kind == evaluations.c.kind,
                later.c.window_end == evaluations.c.window_end,
                later.c.window_start == evaluations.c.window_start,
                later.c.revision > evaluations.c.revision,
            )
            .exists()
        )
    for row in conn.execution_options(stream_results=True).execute(query):
        yield _result(row)


def _result(row: Row[tuple[object, ...]]) -> ResultRow:
    values = row._asdict()
    if values["segment"] is not None:
        values["segment"] = msgspec.json.decode(values["segment"])
    return ResultRow(**values)


def evaluation(conn: Connection, model: str, kind: str, window_start: Micros, window_end: Micros) -> Evaluation | None:
    """The last revision of a window so far, or None."""
    query = (
        select(*(evaluations.c[name] for name in Evaluation.__match_args__))
        .where(
            evaluations.c.model == model,
            evaluations.c.kind == kind,
            evaluations.c.window_start == window_start,
            evaluations.c.window_end == window_end,
        )
        .order_by(evaluations.c.revision.desc())
        .limit(1)
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else Evaluation(*row)


def evaluated(
    conn: Connection,
    *,
    model: str | None = None,
    kind: str | None = None,
    since: Micros | None = None,
    until: Micros | None = None,
) -> Iterable[Evaluation]:
    """The evaluations of windows that end in [since, until), every revision, in order."""
    query = select(*(evaluations.c[name] for name in Evaluation.__match_args__)).order_by(
        evaluations.c.model, evaluations.c.window_end, evaluations.c.kind, evaluations.c.revision
    )
    return [Evaluation(**row._asdict()) for row in conn.execute(_bounded(query, model, kind, since, until))]


def last_window_end(conn: Connection, model: str, kind: str) -> Micros | None:
    """The end of the last window of this kind that has been evaluated, or None."""
    return conn.execute(
        select(func.max(evaluations.c.window_end)).where(evaluations.c.model == model, evaluations.c.kind == kind)
    ).scalar()


def nearest_window_ends(conn: Connection, model: str, kind: str, instant: Micros) -> list[Micros]:
    """The end of an evaluated window at an instant, else the last one before it and the first one after it."""
    end = evaluations.c.window_end
    before, after = conn.execute(
        select(func.max(case((end <= instant, end))), func.min(case((end >= instant, end)))).where(
            evaluations.c.model == model, evaluations.c.kind == kind
        )
    ).one()
    return sorted({found for found in (before, after) if found is not None})


def _bounded(
    query: Select[tuple[object, ...]], model: str | None, kind: str | None, since: Micros | None, until: Micros | None
) -> Select[tuple[object, ...]]:
    if model is not None:
        query = query.where(evaluations.c.model == model)
    if kind is not None:
        query = query.where(evaluations.c.kind == kind)
    if since is not None:
        query = query.where(evaluations.c.window_end >= since)
    if until is not None:
        query = query.where(evaluations.c.window_end < until)
    return query
