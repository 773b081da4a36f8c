"""What can go wrong with the store."""

from __future__ import annotations


class StoreError(Exception):
    """Base of every error of the store.

    StoreError
    ├── StoreHeld             another process is the writer
    ├── StoreUnavailable      the disk is full, the file is locked or cannot be read: nothing was changed, try again
    ├── StoreVersionError     the program and the store do not fit together
    │   ├── StoreOutdated     the store is older: migrate it
    │   └── StoreNewer        the store is newer: use a newer program
    ├── StoreMissing          there is no store at this path
    ├── FenceLost             someone else has moved a partition's next offset
    ├── LeaseLost             someone else has claimed the outbox row meanwhile
    ├── AlreadyEvaluated      this revision of this window has been recorded
    └── ActivationTooEarly    a spec cannot begin at a pane that has already been counted
    """


class StoreHeld(StoreError):
    """Another process is the writer; `holder` says which, as its lock file tells it."""

    def __init__(self, path: str, holder: str) -> None:
        self.path = path
        self.holder = holder
        super().__init__(
            f"The store {path} is held by {holder}. Stop that process, or give this one its own store.path."
        )


class StoreUnavailable(StoreError):
    """The store cannot be used now and nothing was changed; `reason` and `advice` are sentences for people."""

    def __init__(self, reason: str, advice: str) -> None:
        self.reason = reason
        self.advice = advice
        super().__init__(f"{reason} {advice}")


class StoreVersionError(StoreError):
    """The program and the store do not fit together."""


class StoreOutdated(StoreVersionError):
    """The store was made by an older program and has to be migrated first."""


class StoreNewer(StoreVersionError):
    """The store was made by a newer program, which this one must not touch."""


class StoreMissing(StoreError):
    """There is no store at this path, and a reader does not make one."""


class FenceLost(StoreError):
    """A partition's next offset is not the expected one: drop the buffer, seek to the stored offset, count again."""


class LeaseLost(StoreError):
    """The outbox row was claimed by another sender after this one's lease ran out."""


class AlreadyEvaluated(StoreError):
    """This revision of this window has been recorded, by another worker or before a restart: drop the result."""


class ActivationTooEarly(StoreError):
    """A spec cannot begin at a pane that has already been counted with another one."""
