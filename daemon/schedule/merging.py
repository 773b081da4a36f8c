"""Merging partials into one; runs in a worker process."""

from __future__ import annotations

from functools import lru_cache

from daemon.schedule.tasks import Merged, MergeTask
from detectors.collected import CollectedRows
from detectors.layout import Layout
from detectors.profile import Profile
from detectors.sample import Sample


def merge(task: MergeTask) -> Merged:
    """The partials' rows together."""
    if task.collects:
        return _collected(task)
    layout = _layout(task.layout)
    profile = Profile.merge([Profile.from_bytes(layout, data) for data in task.profiles])
    if not task.samples:
        return Merged(profile.rows, profile.to_bytes(), None, None)
    sample = Sample.merge([Sample.from_bytes(layout, data) for data in task.samples])
    return Merged(profile.rows, profile.to_bytes(), sample.to_bytes(), sample.kth_hash)


def _collected(task: MergeTask) -> Merged:
    if not task.samples:
        return Merged(task.rows, b"", None, None)
    rows = CollectedRows.merge([CollectedRows.from_bytes(data) for data in task.samples])
    return Merged(task.rows, b"", rows.to_bytes(), rows.kth_hash)


@lru_cache(maxsize=32)
def _layout(data: bytes) -> Layout:
    return Layout.from_bytes(data)
