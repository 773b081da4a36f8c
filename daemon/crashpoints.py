"""Named points at which the process can be made to die, so that tests can show that no death changes a number."""

from __future__ import annotations

import os
import signal

VARIABLE = "DRIFTD_CRASH_AT"
"""`NAME` or `NAME:N`: SIGKILL at the N-th time that the point is reached, the first without a number."""

_name, _, _nth = os.environ.get(VARIABLE, "").partition(":")
_left = int(_nth or 1)


def reach(name: str) -> None:
    """Die here if the environment says so: by SIGKILL, so that nothing is cleaned up."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
