"""`driftd explain MODEL`: what it says now, and what it would take to make it speak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.cli.explain_lines import MEASURES, finding_json, line_json, print_lines
from daemon.cli.output import say, table
from daemon.cli.times import second

if TYPE_CHECKING:
    from daemon.config.settings import Settings
    from daemon.store import Connection
    from daemon.store.evaluations import ResultRow
    from detectors.reference import Reference


def model_json(conn: Connection, settings: Settings, name: str) -> dict[str, object]:
    """Everything about a model that decides whether it speaks."""
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
        "lines": [line_json(line, settings, name) for line in board.lines],
        "last_windows": {
            kind: [finding_json(row) | {"detail": row.detail} for row in rows] for kind, rows in last.items()
        },
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


def print_model(found: dict[str, object]) -> None:
    """The same in sentences and tables."""
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
        print_lines(lines)
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
