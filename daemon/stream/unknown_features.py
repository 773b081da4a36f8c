"""Features that messages hold and no column has: a sentence for each model in `driftd status`."""

from __future__ import annotations

from collections.abc import Collection

from daemon.store import Connection, status
from detectors.instants import HOUR, Micros

KNOWN = 100
"""So many names are told apart for each model; of further ones it is only said that there are more."""
_NAMED = 10
_KEY = "schema."


class UnknownFeatures:
    """Remembers for an hour which unknown features were read: a producer that has gone back no longer shows them.

    After `forget`, as at the start, what the store says of before is no longer true: there are other columns.
    """

    def __init__(self) -> None:
        self._new: dict[str, set[str]] = {}
        self._last: dict[str, dict[str, Micros]] = {}
        self._is_fresh = True

    def see(self, model: str, names: Collection[str]) -> None:
        """These features were read in a model's messages."""
        if names:
            known = self._new.setdefault(model, set())
            known.update(sorted(set(names) - known)[: KNOWN + 1 - len(known)])

    def forget(self) -> None:
        """The columns may be others now."""
        self._new.clear()
        self._last.clear()
        self._is_fresh = True

    def write(self, conn: Connection, now: Micros) -> None:
        """Put the sentences right."""
        for model, names in self._new.items():
            seen = self._last.setdefault(model, {})
            seen.update(dict.fromkeys(names, now))
            for name in sorted(seen)[KNOWN + 1 :]:
                del seen[name]
        for model, seen in self._last.items():
            for name in [name for name, at in seen.items() if at <= now - HOUR]:
                del seen[name]
            if seen:
                status.set_note(conn, _KEY + model, _sentence(model, seen), now)
            else:
                status.clear_note(conn, _KEY + model)
        if self._is_fresh:
            for note in status.load_notes(conn):
                if note.key.startswith(_KEY) and not self._last.get(note.key.removeprefix(_KEY)):
                    status.clear_note(conn, note.key)

    def written(self) -> None:
        """What `write` wrote is in the store."""
        self._new.clear()
        self._last = {model: seen for model, seen in self._last.items() if seen}
        self._is_fresh = False


def _sentence(model: str, names: Collection[str]) -> str:
    told, others = sorted(names)[:_NAMED], len(names) - _NAMED
    more = "" if others <= 0 else f" and {'at least ' if len(names) > KNOWN else ''}{others} more"
    return f"{model}: messages of the last hour hold features that the reference does not: {', '.join(told)}{more}."
