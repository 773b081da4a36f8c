"""The one place with SQL: what the daemon has counted, decided and still has to tell.

`Store` opens the file; the modules beside it are named questions and changes, one module a concept. Each takes the
connection of a `Store.write()` or `Store.read()` block first, so that a caller can put several into one transaction.
"""

from sqlalchemy import Connection

from daemon.store.errors import (
    ActivationTooEarly,
    AlreadyEvaluated,
    FenceLost,
    LeaseLost,
    StoreError,
    StoreHeld,
    StoreMissing,
    StoreNewer,
    StoreOutdated,
    StoreUnavailable,
    StoreVersionError,
)
from daemon.store.store import Store

__all__ = [
    "ActivationTooEarly",
    "AlreadyEvaluated",
    "Connection",
    "FenceLost",
    "LeaseLost",
    "Store",
    "StoreError",
    "StoreHeld",
    "StoreMissing",
    "StoreNewer",
    "StoreOutdated",
    "StoreUnavailable",
    "StoreVersionError",
]
