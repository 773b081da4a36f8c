"""`driftd explain`: why it spoke, or why it did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.clock import wall_clock
from daemon.cli.errors import UsageError
from daemon.cli.explain_at import at_json
from daemon.cli.explain_at_text import print_at
from daemon.cli.explain_lines import line_json, print_lines
from daemon.cli.explain_model import model_json, print_model
from daemon.cli.opening import load_settings, open_for_reading
from daemon.cli.options import ConfigOption, Format, FormatOption, config_path, output_format
from daemon.cli.output import say, say_json, table
from daemon.cli.times import minute, parse_instant, second

if TYPE_CHECKING:
    from daemon.config.settings import Settings
    from daemon.incidents.cause import Cause
    from daemon.incidents.incident import Incident


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(explain)


def explain(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="INCIDENT|MODEL", help="An incident's id, or a model's name.")],
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Of a model: why it spoke then, or did not: an instant, or 7d ago."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="With --at: every line and every window, not only the nearest.")
    ] = False,
    config: ConfigOption = None,
    format: FormatOption = None,
) -> None:
    """Say why driftd spoke, or why it did not: each value with its limit, and how many windows have counted."""
    from daemon.store import incidents

    settings = load_settings(config_path(context, config))
    now = wall_clock()
    instant = None if at is None else parse_instant(at, now, "--at")
    if everything and instant is None:
        raise UsageError("--all belongs to --at: without it everything is shown")
    as_json = output_format(context, format) is Format.JSON
    with open_for_reading(settings) as store, store.read() as conn:
        stored = incidents.incident(conn, subject)
        if stored is not None:
            if instant is not None:
                raise UsageError(f"--at belongs to a model; for incident {subject} ask --at of {stored.model}")
            from daemon.incidents.incident import Incident

            incident = Incident.from_bytes(stored.summary)
            if as_json:
                say_json(_incident_json(incident, settings))
            else:
                _print_incident(incident, settings)
            return
        if subject not in settings.models:
            known = ", ".join([*settings.models, *(one.id for one in incidents.open_incidents(conn))])
            raise UsageError(f"there is neither an incident nor a model {subject!r}; there are: {known}")
        if instant is None:
            found, show = model_json(conn, settings, subject), print_model
        else:
            found, show = at_json(conn, settings, subject, instant, now, everything=everything), print_at
    if as_json:
        say_json(found)
    else:
        show(found)


def _incident_json(incident: Incident, settings: Settings) -> dict[str, object]:
    return {
        "incident": incident.id,
        "model": incident.model,
        "family": incident.family.value,
        "state": incident.state.value,
        "severity": incident.severity.value,
        "held": incident.held,
        "since": second(incident.since),
        "resolved_at": second(incident.resolved_at),
        "revision": incident.revision,
        "where": incident.where or None,
        "causes": None if incident.causes is None else [_cause_json(cause) for cause in incident.causes],
        "timeline": [{"at": second(entry.at), "text": entry.text} for entry in incident.timeline],
        "lines": [line_json(line, settings, incident.model) for line in incident.lines],
    }


def _cause_json(cause: Cause) -> dict[str, object]:
    return {
        "kind": cause.kind.value,
        "text": cause.text,
        "column": cause.column,
        "at": second(cause.at),
        "score": cause.score,
        "reason": cause.reason,
    }


def _print_incident(incident: Incident, settings: Settings) -> None:
    held = f", held back: {incident.held}" if incident.held else ""
    over = f", until {minute(incident.resolved_at)}" if incident.resolved_at is not None else ""
    say(f"{incident.id} · {incident.model} · {incident.family} · {incident.state}{held}")
    windows = "1 window" if incident.windows == 1 else f"{incident.windows} windows"
    say(f"Since {minute(incident.since)}{over}; {windows} flagged.")
    say()
    print_lines([line_json(line, settings, incident.model) for line in incident.lines])
    say()
    _print_causes(incident)
    for entry in incident.timeline:
        say(f"{minute(entry.at)}  {entry.text}")
    say()
    say(f"All its findings: driftd results --model {incident.model} --since {second(incident.since)}")


def _print_causes(incident: Incident) -> None:
    """Every candidate, the likeliest first, with the reason of its place."""
    if incident.causes is None:
        return
    if not incident.causes:
        say("Nothing that changed at about that time is known: no column, version, lag or late rows of this model.")
        say()
        return
    say("What may have brought it about, the likeliest first (the score orders, it is no probability):")
    header = ["score", "what", "since", "why here"]
    rows = [[f"{cause.score:.2f}", cause.text, minute(cause.at), cause.reason] for cause in incident.causes]
    for text in table(header, rows, right=["score"]):
        say(text)
    say()
