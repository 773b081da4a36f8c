"""Numbers for strings that very many rows share."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, Engine, event, select

from daemon.store import dialect
from daemon.store.schema import names

_REMEMBERED = "numbers of names"
_LIMIT = 100_000


def forget_on_rollback(engine: Engine) -> None:
    """Let the engine's connections remember numbers only as long as no transaction is rolled back: what it had numbered
    has no number any more."""
    event.listen(engine, "rollback", lambda conn: conn.info.pop(_REMEMBERED, None))


def intern(conn: Connection, texts: Collection[str]) -> dict[str, int]:
    """The number of each text; those that have none yet get one. What a connection has met it remembers."""
    remembered: dict[str, int] = conn.info.setdefault(_REMEMBERED, {})
    if len(remembered) > _LIMIT:
        remembered.clear()
    remembered.update(_intern(conn, [text for text in set(texts) if text not in remembered]))
    return {text: remembered[text] for text in texts}


def _intern(conn: Connection, texts: Collection[str]) -> dict[str, int]:
    if not texts:
        return {}
    wanted = sorted(texts)
    known = find(conn, wanted)
    new = [text for text in wanted if text not in known]
    if new:
        conn.execute(dialect.insert(conn, names).on_conflict_do_nothing(), [{"name": text} for text in new])
        known |= find(conn, new)
    return known


def find(conn: Connection, texts: Collection[str]) -> dict[str, int]:
    """The number of each text that has one."""
    wanted = list(texts)
    found: dict[str, int] = {}
    for i in range(0, len(wanted), 500):
        query = select(names.c.name, names.c.id).where(names.c.name.in_(wanted[i : i + 500]))
        found.update((name, number) for name, number in conn.execute(query))
    return found


def number(conn: Connection, text: str) -> int | None:
    """The number of one text, or None."""
    return conn.execute(select(names.c.id).where(names.c.name == text)).scalar()


def texts(conn: Connection, numbers: Collection[int]) -> dict[int, str]:
    """The text of each number."""
    wanted = list(numbers)
    found: dict[int, str] = {}
    for i in range(0, len(wanted), 500):
        query = select(names.c.id, names.c.name).where(names.c.id.in_(wanted[i : i + 500]))
        found.update((number, name) for number, name in conn.execute(query))
    return found
