"""Stored specs as the schedule knows them: it does not read what the stream has written."""

from __future__ import annotations

from daemon.schedule.specs import SpecParts, StoredSpecs
from daemon.stream.spec import Spec


def stored_specs() -> StoredSpecs:
    """The specs of a store, by their hashes."""
    return StoredSpecs(_parts)


def _parts(body: bytes) -> SpecParts:
    spec = Spec.from_bytes(body)
    return SpecParts(spec.layout.to_bytes(), spec.reference_hash)
