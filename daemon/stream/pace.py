"""How often intake does what, and when a checkpoint is due."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from daemon.config.windows import micros
from daemon.stream.partitions import PartitionState


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things are done, in seconds, and how much is held; for tests to hurry."""

    poll: float = 0.2
    gather: float = 0.5
    topics: float = 30.0
    specs: float = 0.5
    retry: float = 1.0
    absent: float = 10.0
    watermark: float = 0.25
    buffer_bytes: int = 64 << 20
    poll_records: int = 1_000


class Due:
    """Whether a checkpoint is due: by time, by what waits in memory, or because a window can be closed."""

    def __init__(self, pace: Pace, interval: float) -> None:
        self._pace = pace
        self._interval = interval
        self._is_urgent = False
        self._windows: dict[str, int] = {}
        self._last = self._not_before = time.monotonic() - 1e9

    def now(self, nbytes: int, *, is_paused: bool) -> bool:
        """Whether it is due, with so many bytes in the buffer. While the store cannot be used it is often tried."""
        since = time.monotonic() - self._last
        if is_paused:
            return since >= self._pace.retry
        return (
            since >= self._interval
            or nbytes >= self._pace.buffer_bytes
            or (self._is_urgent and since >= self._pace.watermark)
        )

    @property
    def may_be_tried(self) -> bool:
        """Whether no `postpone` forbids it."""
        return time.monotonic() >= self._not_before

    def hurry(self) -> None:
        """Something waits for the next one."""
        self._is_urgent = True

    def postpone(self) -> None:
        """It cannot be written now, nor in the next moment."""
        self._not_before = time.monotonic() + self._pace.retry

    def tried(self) -> None:
        """The store did not take it."""
        self._last = time.monotonic()

    def written(self) -> None:
        """It is in the store."""
        self._last = time.monotonic()
        self._is_urgent = False

    def forget_windows(self) -> None:
        """What was known of watermarks is no longer true."""
        self._windows.clear()

    def watch(self, state: PartitionState, partitions: Iterable[PartitionState]) -> None:
        """Hurry when rows of a partition have moved a model's lowest data watermark over the end of a window."""
        for cursor in state.active:
            flow = cursor.flow
            if flow.role != "predictions":
                continue
            marks = [
                other.data_watermark
                for partition in partitions
                if (other := partition.cursors.get(flow.key)) is not None and other.data_watermark is not None
            ]
            if marks:
                window = min(marks) // micros(flow.settings.window.every)
                if window > self._windows.setdefault(flow.model, window):
                    self._windows[flow.model] = window
                    self.hurry()
