"""`driftd report`: Evidently's own page over a window's sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.errors import Undecided, Unreachable, UsageError
from daemon.cli.opening import known_model, load_settings, open_for_reading
from daemon.cli.options import ConfigOption, config_path
from daemon.cli.output import say
from daemon.cli.times import minute, parse_instant, second

if TYPE_CHECKING:
    from daemon.store import Connection
    from detectors.instants import Micros


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(report)


def report(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model.")],
    window: Annotated[
        str,
        typer.Option("--window", "-w", metavar="END", help="The window's end, as `results` prints it; or `last`."),
    ] = "last",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the page.  [default: MODEL-END.html]")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write Evidently's HTML report of a window's sample against the reference."""
    from daemon.schedule.tasks import REPORT, ReportTask
    from daemon.schedule.workers import TaskFailed, WorkerError, WorkerPool
    from daemon.store import evaluations, panes, references, specs
    from daemon.stream.spec import Spec
    from detectors.instants import micros

    settings = load_settings(config_path(context, config))
    size = micros(settings.models[known_model(settings, model)].window.size)
    with open_for_reading(settings) as store, store.read() as conn:
        if window == "last":
            end = evaluations.last_window_end(conn, model, "drift")
            if end is None:
                raise Undecided(f"no window of {model} has been judged yet; `driftd status` says how far it is")
        else:
            end = _window_end(conn, model, window)
        partials = panes.load_partials(conn, model, end - size, end)
        if not partials:
            raise UsageError(f"{model} has no rows from {minute(end - size)} to {minute(end)}")
        rows: dict[str, int] = {}
        for partial in partials:
            rows[partial.spec_hash] = rows.get(partial.spec_hash, 0) + partial.rows
        spec_hash = max(rows, key=lambda spec: (rows[spec], spec))
        body = specs.load_spec(conn, spec_hash)
        reference = None if body is None else references.load(conn, Spec.from_bytes(body).reference_hash)
    samples = tuple(p.sample for p in partials if p.sample is not None and p.spec_hash == spec_hash)
    if reference is None or not samples:
        raise UsageError("the samples of this window are gone (store.retention.samples); choose a later --window")
    with WorkerPool(1) as pool:
        try:
            page = pool.submit(REPORT, ReportTask(reference.body, samples), timeout=600.0).result()
        except WorkerError as error:
            reason = error.message if isinstance(error, TaskFailed) else str(error)
            raise Unreachable(f"Evidently could not make the report: {reason}") from error
    stamp = (minute(end) or "").replace(" ", "T").replace(":", "")
    target = output or Path(f"{model}-{stamp}.html")
    try:
        target.write_text(page)
    except OSError as error:
        raise Unreachable(f"{target} cannot be written: {error.strerror or error}") from error
    say(f"{target}: {model}, {minute(end - size)} to {minute(end)}, {len(page) // 1024:,} KiB")


def _window_end(conn: Connection, model: str, text: str) -> Micros:
    """The end of a window that has been judged, as `--window` gives it."""
    from daemon.cli.clock import wall_clock
    from daemon.store import evaluations

    instant = parse_instant(text, wall_clock(), "--window")
    ends = evaluations.nearest_window_ends(conn, model, "drift", instant)
    if not ends:
        raise Undecided(f"no window of {model} has been judged yet; `driftd status` says how far it is")
    if instant not in ends:
        nearest = " and ".join(str(second(end)) for end in ends)
        raise UsageError(f"--window {text}: no window of {model} that was judged ends then; the nearest: {nearest}")
    return instant
