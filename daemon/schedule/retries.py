"""When a window whose evaluation failed is evaluated once more: a few times, ever later, and after a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from daemon.store.due import DueWindow
from detectors.instants import HOUR, MINUTE, Micros

RETRY_AFTER: tuple[Micros, ...] = (MINUTE, 10 * MINUTE, HOUR)
"""How long after each failure the next try comes; after the last of them only with new rows, or after a restart."""
MAX_REMEMBERED = 10_000
"""Windows that have failed and are remembered; the oldest are forgotten, and so are tried again."""


@dataclass(frozen=True, slots=True)
class Failures:
    """How often in a row a window has failed in this process, and when it last did, by wall clock."""

    count: int
    at: Micros


def may_retry(failures: Failures | None, now: Micros) -> bool:
    """Whether a window whose last evaluation failed is tried again; None: not by this process."""
    if failures is None:
        return True
    return failures.count <= len(RETRY_AFTER) and now - failures.at >= RETRY_AFTER[failures.count - 1]


class Retries:
    """The failures of this process: a restart begins anew, as what was wrong may have been put right."""

    def __init__(self) -> None:
        self._failures: dict[tuple[str, str, Micros], Failures] = {}

    def note(self, due: DueWindow, *, failed: bool, now: Micros) -> None:
        """How the evaluation of a window went."""
        before = self._failures.pop((due.model, due.kind, due.end), None)
        if failed:
            self._failures[due.model, due.kind, due.end] = Failures(1 if before is None else before.count + 1, now)
            if len(self._failures) > MAX_REMEMBERED:
                del self._failures[next(iter(self._failures))]

    def of(self, model: str, kind: str, now: Micros) -> Callable[[Micros], bool]:
        """Whether the failed window of a model that ends at an instant may be tried now."""
        return lambda end: may_retry(self._failures.get((model, kind, end)), now)
