"""What the schedule needs to know of stored specs, each read once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from daemon.store import Connection, specs

KEPT = 256


@dataclass(frozen=True, slots=True)
class SpecParts:
    """The parts of a spec by which partials can be merged and judged: layout bytes and the reference's hash."""

    layout: bytes
    reference_hash: str

    @property
    def collects(self) -> bool:
        """Whether its rows are collected for a reference that is still to come."""
        return not self.reference_hash


class StoredSpecs:
    """Specs by hash; a spec never changes, so what was read once is kept."""

    def __init__(self, parts_of: Callable[[bytes], SpecParts]) -> None:
        self._parts_of = parts_of
        self._known: OrderedDict[str, SpecParts] = OrderedDict()

    def get(self, conn: Connection, spec_hash: str) -> SpecParts | None:
        """The parts of the spec with this hash, or None."""
        if spec_hash not in self._known:
            body = specs.load_spec(conn, spec_hash)
            if body is None:
                return None
            self._known[spec_hash] = self._parts_of(body)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return self._known[spec_hash]
