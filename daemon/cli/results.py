"""`driftd results`: every finding, one a line."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.clock import wall_clock
from daemon.cli.opening import known_model, load_settings, open_for_reading
from daemon.cli.options import ConfigOption, Format, FormatOption, config_path, output_format
from daemon.cli.output import say, say_json, table
from daemon.cli.times import minute, parse_instant, second

if TYPE_CHECKING:
    from daemon.store.evaluations import ResultRow


class Revisions(StrEnum):
    """Which revisions of a window are printed."""

    ALL = "all"
    LAST = "last"


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(results)


def results(
    context: typer.Context,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only this model's.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Only windows that end then or later: an instant, or 7d ago."),
    ] = None,
    revisions: Annotated[
        Revisions, typer.Option("--revisions", help="Every revision of a window, or its last one so far.")
    ] = Revisions.LAST,
    config: ConfigOption = None,
    format: FormatOption = None,
) -> None:
    """Print findings by model and window; as JSON one object a line."""
    from daemon.store import evaluations

    settings = load_settings(config_path(context, config), secrets=False)
    if model is not None:
        known_model(settings, model)
    start = None if since is None else parse_instant(since, wall_clock(), "--since")
    with open_for_reading(settings) as store, store.read() as conn:
        rows = evaluations.results(conn, model=model, since=start, final_only=revisions is Revisions.LAST)
        if output_format(context, format) is Format.JSON:
            for row in rows:
                say_json(result_json(row))
            return
        found = [_cells(row) for row in rows]
    if not found:
        say("No findings yet. `driftd status` says what each model waits for.")
        return
    header = ["model", "window end", "signal", "column", "metric", "segment", "value", "limit", "floor", "p", "verdict"]
    for line in table([*header, "incident"], found, right=["value", "limit", "floor", "p"]):
        say(line)


def result_json(row: ResultRow) -> dict[str, object]:
    """A finding as programs read it: these keys, in this order, are a promise (people.md)."""
    return {
        "model": row.model,
        "version": row.version,
        "segment": row.segment,
        "window_start": second(row.window_start),
        "window_end": second(row.window_end),
        "revision": row.revision,
        "rows": row.rows,
        "signal": row.signal,
        "column": row.column,
        "metric": row.metric,
        "value": row.value,
        "threshold": row.threshold,
        "noise_floor": row.noise_floor,
        "p_value": row.p_value,
        "verdict": row.verdict,
        "severity": row.severity,
        "incident": row.incident,
        "reference": row.reference,
        "estimated": row.estimated,
        "config_hash": row.config_hash,
        "driftd_version": row.driftd_version,
    }


def _cells(row: ResultRow) -> list[object]:
    segment = None if row.segment is None else ", ".join(f"{column}={value}" for column, value in row.segment.items())
    return [
        row.model,
        minute(row.window_end),
        row.signal,
        row.column,
        row.metric,
        segment,
        row.value,
        row.threshold,
        row.noise_floor,
        row.p_value,
        row.verdict,
        row.incident,
    ]
