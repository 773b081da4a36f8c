"""Intake as a process of its own, so that it can be killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from daemon.store.store import Store
from tests.unit.stream.world import run_to_end, settings


def main() -> None:
    """Read everything that is there; MODELS is the models' settings as JSON."""
    path, bootstrap, models = sys.argv[1:]
    of = settings(Path(path), bootstrap, json.loads(models))
    with Store.open(of.store.path, writer=True) as store:
        run_to_end(of, store)


if __name__ == "__main__":
    main()
