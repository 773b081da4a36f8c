"""The log: one line an event, to stderr."""

from __future__ import annotations

import logging
import sys
import time

QUIET = ("alembic", "kafka", "uvicorn", "slack_sdk", "urllib3")
"""Libraries of which only warnings are worth a line."""


class OneLine(logging.Formatter):
    """`2026-02-08T05:12:00Z INFO driftd.stream text`: a traceback, too, stays on its event's line."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(line for line in super().format(record).splitlines() if line.strip())


def start(level: str) -> None:
    """Sends everything from `level` on to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns whenever a tick finds the one before it still at work, which is as it should be.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    # It warns of every turn of its loop longer than 0.1 s, and a checkpoint may well take longer.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    # While a topic is gone they repeat it several times a second; driftd says it once, in its own words.
    for name in ("kafka.cluster", "kafka.coordinator.consumer"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
