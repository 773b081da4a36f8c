"""`driftd explain`: why it spoke, or why it did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.errors import UsageError
from daemon.cli.opening import load_settings, open_for_reading
from daemon.cli.options import ConfigOption, Format, FormatOption, config_path, output_format
from daemon.cli.output import say, say_json, table
from daemon.cli.times import minute, second

if TYPE_CHECKING:
    from daemon.config.settings import Settings
    from daemon.incidents.cause import Cause
    from daemon.incidents.incident import Incident
    from daemon.incidents.lines import Line
    from daemon.store import Connection
    from daemon.store.evaluations import ResultRow
    from detectors.reference import Reference

MEASURES = ["value", "limit", "floor", "p"]


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(explain)


def explain(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="INCIDENT|MODEL", help="An incident's id, or a model's name.")],
    config: ConfigOption = None,
    format: FormatOption = None,
) -> None:
    """Say why driftd spoke, or why it did not: each value with its limit, and how many windows have counted."""
    from daemon.store import incidents

    settings = load_settings(config_path(context, config))
    as_json = output_format(context, format) is Format.JSON
    with open_for_reading(settings) as store, store.read() as conn:
        stored = incidents.incident(conn, subject)
        if stored is not None:
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
        found = _model(conn, settings, subject)
    if as_json:
        say_json(found)
    else:
        _print_model(found)


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
        "lines": [_line_json(line, settings, incident.model) for line in incident.lines],
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


def _line_json(line: Line, settings: Settings, model: str) -> dict[str, object]:
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


def _print_incident(incident: Incident, settings: Settings) -> None:
    held = f", held back: {incident.held}" if incident.held else ""
    over = f", until {minute(incident.resolved_at)}" if incident.resolved_at is not None else ""
    say(f"{incident.id} · {incident.model} · {incident.family} · {incident.state}{held}")
    windows = "1 window" if incident.windows == 1 else f"{incident.windows} windows"
    say(f"Since {minute(incident.since)}{over}; {windows} flagged.")
    say()
    _print_lines([_line_json(line, settings, incident.model) for line in incident.lines])
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


def _print_lines(lines: list[dict[str, object]]) -> None:
    header = ["signal", "column", "metric", "segment", *MEASURES, "windows", "state", "driver"]
    rows = [
        [
            line["signal"],
            line["column"],
            line["metric"],
            _segment(line["segment"]),
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


def _model(conn: Connection, settings: Settings, name: str) -> dict[str, object]:
    from daemon.incidents.board import Board
    from daemon.store import evaluations, incidents, status

    body = incidents.load_board(conn, name)
    board = Board(name) if body is None else Board.from_bytes(body)
    state = status.model_states_by_name(conn).get(name)
    last: dict[str, list[ResultRow]] = {}
    for kind in ("drift", "quality"):
        end = evaluations.last_window_end(conn, name, kind)
        if end is not None:
            last[kind] = list(evaluations.results(conn, model=name, kind=kind, since=end, final_only=True))
    model = settings.models[name]
    return {
        "model": name,
        "state": "starting" if state is None else state.state,
        "reason": None if state is None or not state.reason else state.reason,
        "for": int(model.alerts.for_),
        "recover_after": int(model.alerts.recover_after),
        "next": _next(conn, settings, name),
        **_reference(conn, settings, name),
        "open_incidents": [incident.id for incident in board.open_incidents],
        "interruptions": [
            {"start": second(span.start), "end": second(span.end)} for span in board.interruptions if span.end is None
        ],
        "lines": [_line_json(line, settings, name) for line in board.lines],
        "last_windows": {kind: [_finding_json(row) for row in rows] for kind, rows in last.items()},
        "last_windows_held": {
            window.kind: window.held
            for window in board.windows
            if window.held and any(row.window_end == window.end for row in last.get(window.kind, ()))
        },
    }


def _next(conn: Connection, settings: Settings, name: str) -> str | None:
    """When the next window is judged, as a sentence."""
    from daemon.store import evaluations
    from detectors.instants import micros

    window = settings.models[name].window
    end = evaluations.last_window_end(conn, name, "drift")
    if end is None:
        return None
    following = end + micros(window.every)
    return f"the window that ends {second(following)}, once every row before that is read"


def _reference(conn: Connection, settings: Settings, name: str) -> dict[str, object]:
    from daemon.schedule.rules import rules_of
    from daemon.store import references

    hash_ = references.current(conn, name)
    stored = None if hash_ is None else references.load(conn, hash_)
    if stored is None:
        return {"reference": None, "columns": []}
    from detectors.budget import level
    from detectors.judgement import PORTIONS, Share
    from detectors.noise import Noise
    from detectors.reference import Reference
    from detectors.variation import WindowVector

    reference = Reference.from_bytes(stored.body)
    vectors = references.live_windows(conn, name, stored.hash, 1 << 62)
    noise = Noise.of(reference, [WindowVector.from_bytes(vector) for vector in vectors])
    rules = rules_of(settings, name)
    per_week = rules.alarms_per_week * PORTIONS[Share.DRIFT]
    return {
        "reference": {
            "hash": stored.hash,
            "uri": stored.uri,
            "rows": stored.rows,
            "state": noise.state.value,
            "windows": reference.variation.m,
            "live_windows": noise.m - reference.variation.m,
        },
        "false_alarms_per_week": rules.alarms_per_week,
        "level": level(per_week, rules.size, rules.every, rules.for_windows, noise.rho),
        "estimates": _estimates(conn, reference),
        "columns": [
            {
                "column": column.name,
                "type": column.type.value,
                "role": column.role.value,
                "drift_test": not column.id_like,
                "reason": column.reason,
            }
            for column in reference.columns
        ],
    }


def _estimates(conn: Connection, reference: Reference) -> dict[str, object]:
    """Whether quality is estimated before labels come, and how far off the estimates were on the reference."""
    from daemon.store import collecting, references
    from detectors.reference import Reference

    stored = references.load(conn, collecting.labelled(conn, reference.hash))
    labelled = reference if stored is None or stored.hash == reference.hash else Reference.from_bytes(stored.body)
    learned = labelled.estimation
    backtests = {
        metric: {"windows": test.windows, "off": test.off, "usual_off": test.usual_off}
        for metric, test in learned.backtests.items()
    }
    return {"reason": learned.reason, "backtests": backtests}


def _finding_json(row: ResultRow) -> dict[str, object]:
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
        "detail": row.detail,
    }


def _print_model(found: dict[str, object]) -> None:
    say(f"{found['model']}: {found['state']}" + (f" ({found['reason']})" if found["reason"] else ""))
    reference = found["reference"]
    if not isinstance(reference, dict):
        say("It has no reference yet, so nothing is judged.")
        return
    say(
        f"Reference {str(reference['hash'])[:12]}: {reference['rows']:,} rows from {reference['uri']}; "
        f"{reference['state']}, {reference['windows']} windows of its own and {reference['live_windows']} live ones."
    )
    if reference["state"] != "calibrated":
        say("Until 14 windows show what is ordinary, findings are reported and nobody is told.")
    level = found["level"]
    assert isinstance(level, float)
    say(
        f"It may raise {found['false_alarms_per_week']:.2g} false alarms a week: a value counts below p = {level:.2g} "
        f"and above its limit, in {found['for']} disjoint windows in a row."
    )
    _print_estimates(found["estimates"])
    interruptions = found["interruptions"]
    assert isinstance(interruptions, list)
    for span in interruptions:
        say(f"No rows since {span['start']}: its drift and quality are held back.")
    if found["next"]:
        say(f"Next: {found['next']}.")
    lines, columns, last, held = (found[key] for key in ("lines", "columns", "last_windows", "last_windows_held"))
    assert isinstance(held, dict)
    assert isinstance(lines, list)
    assert isinstance(columns, list)
    assert isinstance(last, dict)
    say()
    if lines:
        say("Lines that are not quiet:")
        _print_lines(lines)
    else:
        say("Every line is quiet.")
    for kind, rows in last.items():
        totals = [row for row in rows if row["segment"] is None]
        if not totals:
            continue
        cut = len(rows) - len(totals)
        say()
        say(
            f"The last {kind} window, to {totals[0]['window_end']}"
            + (f" ({cut} of segments left out):" if cut else ":")
        )
        if kind in held:
            say(f"It is held back, as {held[kind]}: of what it says only rules that the data has broken count.")
        cells = [
            [
                row["signal"],
                row["column"],
                row["metric"],
                row["value"],
                row["threshold"],
                row["noise_floor"],
                row["p_value"],
                row["verdict"],
                row["driver"] or row["detail"],
            ]
            for row in totals
        ]
        header = ["signal", "column", "metric", *MEASURES, "verdict", "why"]
        for text in table(header, cells, right=MEASURES):
            say(text)
    say()
    header = ["column", "type", "role", "drift test", "why this type"]
    rows = [[c["column"], c["type"], c["role"], c["drift_test"], c["reason"]] for c in columns]
    for text in table(header, rows):
        say(text)


def _print_estimates(estimates: object) -> None:
    from daemon.incidents.words import metric_name

    assert isinstance(estimates, dict)
    if estimates["reason"]:
        say(f"Its quality is not estimated before labels come: {estimates['reason']}.")
        return
    off = ", ".join(
        f"{metric_name(metric)} {test['off']:.2g} ({test['usual_off']:.2g})"
        for metric, test in sorted(estimates["backtests"].items())
    )
    say(f"Its quality is estimated before labels come; off by (and what the usual value was off by): {off}.")


def _segment(segment: object) -> str | None:
    if not isinstance(segment, dict):
        return None
    return ", ".join(f"{column}={value}" for column, value in segment.items())
