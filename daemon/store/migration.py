"""Which revision a store is at, whether this program may use it, and how to bring it up to date."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from daemon.store.errors import StoreNewer, StoreOutdated

REVISIONS = ("0001", "0002")
"""Every revision that this program knows, oldest first; a test holds that they are those of migrations/versions."""

_SCRIPTS = "daemon.store:migrations"


def revision(conn: Connection) -> str | None:
    """The revision that the store is at, or None where there is nothing yet."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    at: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return at


def is_fresh(conn: Connection) -> bool:
    """Whether the database has no table at all."""
    return not inspect(conn).get_table_names()


def check(conn: Connection) -> None:
    """Raise StoreOutdated or StoreNewer unless the store is at this program's newest revision."""
    at = revision(conn)
    if at == REVISIONS[-1]:
        return
    if at is None or at in REVISIONS:
        raise StoreOutdated(
            f"The store is at revision {at or 'none'} and this driftd needs {REVISIONS[-1]}. "
            "Make a copy with `driftd store backup PATH`, then run `driftd store migrate`."
        )
    raise StoreNewer(
        f"The store is at revision {at}, which this driftd does not know (it knows up to {REVISIONS[-1]}). "
        "Use the newer driftd that made it, or put back a copy from before."
    )


def migrate(conn: Connection) -> None:
    """Bring the store to this program's newest revision, inside the connection's transaction."""
    # Alembic takes a tenth of a second to import, and almost no start of the daemon needs it.
    from alembic import command
    from alembic.config import Config

    if revision(conn) not in (None, *REVISIONS):
        check(conn)
    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
