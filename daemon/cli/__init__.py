"""The command `driftd`: one file a verb."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """What the console script calls."""
    from daemon.cli.app import invoke

    sys.exit(invoke(sys.argv[1:]))
