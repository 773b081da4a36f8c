"""Lines of incidents and of boards, as `driftd explain` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.cli.output import say, table
from daemon.cli.times import second

if TYPE_CHECKING:
    from daemon.config.settings import Settings
    from daemon.incidents.lines import Line
    from daemon.store.evaluations import ResultRow

MEASURES = ["value", "limit", "floor", "p"]


def line_json(line: Line, settings: Settings, model: str) -> dict[str, object]:
    """A line with what its last flagged window measured, and how far it has counted."""
    key, facts = line.key, line.facts
    alerts = settings.models[model].alerts if model in settings.models else None
    return {
        "signal": key.signal.value,
        "column": key.column,
        "metric": key.metric,
        "segment": dict(key.segment) or None,
        "version": key.version,
        "phase": line.phase.value,
        "since": second(line.since),
        "windows_flagged": line.flagged,
        "windows_quiet": line.quiet,
        "for": None if alerts is None or line.immediate else int(alerts.for_),
        "recover_after": None if alerts is None or line.immediate else int(alerts.recover_after),
        "value": facts.value,
        "threshold": facts.threshold,
        "noise_floor": facts.noise_floor,
        "p_value": facts.p_value,
        "usual": facts.usual,
        "current": facts.current,
        "driver": facts.driver,
        "detail": facts.detail,
    }


def finding_json(row: ResultRow) -> dict[str, object]:
    """One measured value of a window, with what it was held against."""
    return {
        "window_end": second(row.window_end),
        "signal": row.signal,
        "column": row.column,
        "metric": row.metric,
        "segment": row.segment,
        "version": row.version,
        "rows": row.rows,
        "value": row.value,
        "threshold": row.threshold,
        "noise_floor": row.noise_floor,
        "p_value": row.p_value,
        "verdict": row.verdict,
        "driver": row.driver,
    }


def print_lines(lines: list[dict[str, object]]) -> None:
    """A table of such lines."""
    header = ["signal", "column", "metric", "segment", *MEASURES, "windows", "state", "driver"]
    rows = [
        [
            line["signal"],
            line["column"],
            line["metric"],
            segment_text(line["segment"]),
            line["value"],
            line["threshold"],
            line["noise_floor"],
            line["p_value"],
            f"{line['windows_flagged']} of {line['for']}" if line["for"] else "at once",
            line["phase"],
            line["driver"] or line["detail"],
        ]
        for line in lines
    ]
    for text in table(header, rows, right=MEASURES):
        say(text)


def segment_text(segment: object) -> str | None:
    """A segment as `origin=JFK`; None for the total."""
    if not isinstance(segment, dict):
        return None
    return ", ".join(f"{column}={value}" for column, value in segment.items())
