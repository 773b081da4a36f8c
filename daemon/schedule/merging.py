"""Merging partials into one; runs in a worker process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from detectors.layout import Layout
from detectors.profile import Profile
from detectors.sample import Sample


@dataclass(frozen=True, slots=True)
class MergeTask:
    """Partials of one pane under one layout, as bytes; a partial whose sample has expired has none here."""

    layout: bytes
    profiles: tuple[bytes, ...]
    samples: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """One partial in the place of many; `kth_hash` is its sample's, None while that has room."""

    rows: int
    profile: bytes
    sample: bytes | None
    kth_hash: int | None


def merge(task: MergeTask) -> Merged:
    """The partials' rows together."""
    layout = _layout(task.layout)
    profile = Profile.merge([Profile.from_bytes(layout, data) for data in task.profiles])
    if not task.samples:
        return Merged(profile.rows, profile.to_bytes(), None, None)
    sample = Sample.merge([Sample.from_bytes(layout, data) for data in task.samples])
    return Merged(profile.rows, profile.to_bytes(), sample.to_bytes(), sample.kth_hash)


@lru_cache(maxsize=32)
def _layout(data: bytes) -> Layout:
    return Layout.from_bytes(data)
