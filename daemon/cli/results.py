"""`driftd results`: every finding, one a line."""

from __future__ import annotations

from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.clock import wall_clock
from daemon.cli.opening import known_model, load_settings, open_for_reading
from daemon.cli.options import ConfigOption, Format, FormatOption, config_path, output_format
from daemon.cli.output import say, say_json, table
from daemon.cli.times import minute, parse_instant, second

if TYPE_CHECKING:
    from daemon.store.evaluations import ResultRow

LINE = 120
"""Characters of a line of the table: longer names are cut in it, never in JSON."""


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

    settings = load_settings(config_path(context, config))
    if model is not None:
        known_model(settings, model)
    start = None if since is None else parse_instant(since, wall_clock(), "--since")
    with open_for_reading(settings) as store, store.read() as conn:
        rows = evaluations.results(conn, model=model, since=start, final_only=revisions is Revisions.LAST)
        if output_format(context, format) is Format.JSON:
            for row in rows:
                say_json(result_json(row))
            return
        found = False
        for _, evaluation in groupby(rows, key=lambda row: (row.model, row.window_start, row.window_end, row.kind)):
            for heading, findings in groupby(sorted(evaluation, key=_order), key=_heading):
                if found:
                    say()
                found = True
                say(heading)
                _print_findings(list(findings))
    if not found:
        say("No findings yet. `driftd status` says what each model waits for.")


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


def _order(row: ResultRow) -> tuple[int, bool, str, bool]:
    """By revision, then version (all versions last), then all rows before the segments."""
    return row.revision, row.version is None, row.version or "", row.segment is not None


def _heading(row: ResultRow) -> str:
    """What the findings that stand together have in common."""
    version = "all versions" if row.version is None else f"version {row.version}"
    start, end = minute(row.window_start), minute(row.window_end)
    by = "" if row.segment is None else ", by segment"
    return f"{row.model}, {start} to {end}, {version}, revision {row.revision}{by}"


def _print_findings(rows: list[ResultRow]) -> None:
    header = ["signal", "column", "metric", "segment", "rows", "value", "limit", "floor", "p", "verdict"]
    cells = [_cells(row) for row in rows]
    if rows[0].segment is None:
        place = header.index("segment")
        del header[place]
        for row in cells:
            del row[place]
    shrink = ["column", "metric", "segment"]
    for line in table(header, cells, right=["rows", "value", "limit", "floor", "p"], width=LINE, shrink=shrink):
        say(line)


def _cells(row: ResultRow) -> list[object]:
    segment = None if row.segment is None else ", ".join(f"{column}={value}" for column, value in row.segment.items())
    return [
        row.signal,
        row.column,
        row.metric,
        segment,
        row.rows,
        row.value,
        row.threshold,
        row.noise_floor,
        None if row.p_value is None else f"{row.p_value:.2g}",
        row.verdict if row.incident is None else f"{row.verdict} {row.incident}",
    ]
