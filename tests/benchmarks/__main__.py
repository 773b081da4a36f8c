"""`python -m tests.benchmarks [NAME...]`: one JSON object for each benchmark on stdout, progress on stderr."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import facts
from tests.benchmarks.registry import NAMES, Benchmark, Figure, Run, load


def main(arguments: list[str] | None = None) -> int:
    """Runs the named benchmarks, or all. Exit status 1 when one ended with an error; a missed target is no error."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}; without one, all of them")
    parser.add_argument("--full", action="store_true", help="the full size of those that are cut down by default")
    parser.add_argument("--list", action="store_true", help="say what each one measures, and measure nothing")
    chosen = parser.parse_args(arguments)
    if strangers := sorted(set(chosen.names) - set(NAMES)):
        parser.error(f"no benchmark is called {', '.join(strangers)}; there are: {', '.join(NAMES)}")
    if chosen.list:
        print("\n".join(f"{each.name:<12} {each.sentence}" for each in map(load, NAMES)))
        return 0
    failed = False
    for name in chosen.names or NAMES:
        each = load(name)
        print(f"{name}: {each.sentence}", file=sys.stderr, flush=True)
        outcome = measured(each, full=chosen.full)
        failed |= "error" in outcome
        print(json.dumps(outcome), flush=True)
    return int(failed)


def measured(each: Benchmark, *, full: bool) -> dict[str, Any]:
    """Everything that one benchmark found. The figures found before an error are kept beside it."""
    began, started = time.monotonic(), datetime.now(UTC)
    figures: list[Figure] = []
    outcome: dict[str, Any] = {"benchmark": each.name, "measures": each.sentence}
    with tempfile.TemporaryDirectory(prefix=f"driftd-bench-{each.name}-") as folder:
        try:
            for figure in each.measure(Run(Path(folder), full)):
                print(f"  {told(figure)}", file=sys.stderr, flush=True)
                figures.append(figure)
        except Exception as error:  # noqa: BLE001 - the other benchmarks still run
            outcome["error"] = f"{type(error).__name__}: {error}"
            print(f"  failed: {outcome['error']}", file=sys.stderr, flush=True)
    return outcome | {
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(time.monotonic() - began, 1),
        "full": full,
        "figures": [figure.as_json() for figure in figures],
        "machine": facts(),
    }


def told(figure: Figure) -> str:
    """A figure as a line for people."""
    parts = [f"{figure.case}: {figure.driftd:.4g} {figure.unit}"]
    if figure.peer is not None and figure.peer_value is not None:
        parts.append(f"{figure.peer} {figure.peer_value:.4g}")
    if figure.ratio is not None:
        parts.append(f"ratio {figure.ratio:.3g}")
    if figure.target is not None:
        bounds = ", ".join(f"{name.replace('_', ' ')} {bound:g}" for name, bound in figure.target.as_json().items())
        parts.append(f"target {bounds}: {'met' if figure.met else 'MISSED'}")
    return "; ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
