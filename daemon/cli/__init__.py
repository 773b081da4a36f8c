"""The command `driftd`: one file a verb."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """What the console script calls."""
    # Read when numpy is first imported: on small arrays BLAS threads spin more than they count.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from daemon.cli.app import invoke

    sys.exit(invoke(sys.argv[1:]))
