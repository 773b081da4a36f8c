"""Which columns of its reference a model's messages have ever held: what was never there cannot be lost."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, select

from daemon.store import dialect
from daemon.store.schema import evaluations, findings, meta
from detectors.findings import Signal, Verdict
from detectors.instants import Micros

_PREFIX = "seen:"


def columns(conn: Connection, model: str) -> frozenset[str]:
    """The columns of which some window of the model had a value."""
    return _kept(conn, model) or _of_findings(conn, model)


def note(conn: Connection, model: str, found: Iterable[str], at: Micros) -> None:
    """Remember columns that a window which ends at `at` had values of."""
    kept = _kept(conn, model)
    known = kept or _of_findings(conn, model)
    for column in sorted(known.union(found) - kept):
        dialect.put(conn, meta, {"key": _key([model, column]), "value": at})


def _key(parts: list[str]) -> str:
    return f"{_PREFIX}{msgspec.json.encode(parts).decode()}"


def _kept(conn: Connection, model: str) -> frozenset[str]:
    begin = _key([model])[:-1] + ","
    query = select(meta.c.key).where(meta.c.key >= begin, meta.c.key < begin + "\U0010ffff")
    return frozenset(msgspec.json.decode(key.removeprefix(_PREFIX))[1] for key in conn.scalars(query))


def _of_findings(conn: Connection, model: str) -> frozenset[str]:
    """The same from the findings of before this was kept by itself."""
    query = (
        select(findings.c.column)
        .join(evaluations, evaluations.c.id == findings.c.evaluation_id)
        .where(
            evaluations.c.model == model,
            findings.c.signal == Signal.SCHEMA,
            findings.c.metric == "lost",
            findings.c.verdict == Verdict.OK,
        )
        .distinct()
    )
    return frozenset(conn.scalars(query))
