"""`driftd status`: how each model is, and what is in trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.clock import wall_clock
from daemon.cli.errors import Exit
from daemon.cli.opening import load_settings, open_for_reading
from daemon.cli.options import ConfigOption, Format, FormatOption, config_path, output_format
from daemon.cli.output import say, say_json, table
from daemon.cli.times import minute, second

if TYPE_CHECKING:
    from daemon.config.settings import Settings
    from daemon.store import Connection
    from detectors.instants import Micros


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(status)


def status(
    context: typer.Context,
    books: Annotated[bool, typer.Option("--books", help="Also what became of every message.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also check that the books balance; exit code 1 when they do not.")
    ] = False,
    config: ConfigOption = None,
    format: FormatOption = None,
) -> None:
    """Say how each model is, what is open, and what is in trouble."""
    from daemon.store import books as counters
    from daemon.store.sqlite import is_held

    settings = load_settings(config_path(context, config))
    now = wall_clock()
    with open_for_reading(settings) as store, store.read() as conn:
        found = _gather(conn, settings, now)
        violations = counters.check(conn) if verify else []
    found["daemon"] = "running" if is_held(settings.store.path) else "not running"
    if verify:
        found["books_violated"] = violations
    if output_format(context, format) is Format.JSON:
        say_json(found)
    else:
        _print(found, with_books=books or verify)
    if violations:
        raise typer.Exit(Exit.BAD_NEWS)


def _gather(conn: Connection, settings: Settings, now: Micros) -> dict[str, object]:
    from daemon.schedule.first_row import no_row_yet
    from daemon.store import books, incidents, outbox, references, status
    from daemon.store.sqlite import told

    states = status.model_states_by_name(conn)
    notes = status.load_notes(conn)
    said = {note.key for note in notes}
    kept = books.books(conn)
    trouble = [(note.sentence, note.since) for note in notes]
    if (of_store := told(settings.store.path)) is not None:
        trouble.insert(0, of_store)
    models = []
    for name in settings.models:
        state = states.get(name)
        models.append(
            {
                "model": name,
                "state": "starting" if state is None else state.state,
                "reason": None if state is None or not state.reason else state.reason,
                # Of a topic that is not there intake has its own sentence.
                "no_row_yet": None
                if any(f"stream.topic.{topic}" in said for topic in settings.models[name].predictions.topic)
                else no_row_yet(conn, name, settings.models[name]),
                "rows": kept.get(name, {}).get("profiled", 0),
                **_reading(conn, settings, name),
                "reference": references.current(conn, name),
                "open_incidents": [incident.id for incident in incidents.open_incidents(conn, name)],
                "books": kept.get(name, {}),
            }
        )
    return {
        "installation": settings.installation,
        "store": str(settings.store.path),
        "undelivered_seconds": outbox.oldest_age(conn, now) / 1_000_000,
        "trouble": [{"sentence": sentence, "since": second(since)} for sentence, since in trouble],
        "models": models,
    }


def _reading(conn: Connection, settings: Settings, name: str) -> dict[str, object]:
    from daemon.store import watermarks
    from detectors.instants import micros

    model = settings.models[name]
    lag, last = 0, None
    for role, topics in (
        ("predictions", model.predictions.topic),
        ("labels", () if model.labels is None else model.labels.topic),
    ):
        for one in (watermarks.known_partitions(conn, name, role, topics) if topics else None) or []:
            if one.position is None:
                continue
            lag += max(0, (one.partition.end_offset or 0) - one.position.next_offset)
            if role == "predictions" and one.position.max_event_time is not None:
                last = max(last or 0, one.position.max_event_time)
    watermark = watermarks.effective_watermark(
        conn,
        name,
        topics=model.predictions.topic,
        clock=settings.clock,
        watermark_delay=micros(model.window.watermark_delay),
    )
    return {
        "lag_messages": lag,
        "last_row": second(last),
        "watermark": second(watermark),
    }


def _print(found: dict[str, object], *, with_books: bool) -> None:
    models = found["models"]
    trouble = found["trouble"]
    assert isinstance(models, list)
    assert isinstance(trouble, list)
    say(f"driftd {found['installation']}: the daemon is {found['daemon']}, store {found['store']}")
    rows = [
        [
            model["model"],
            model["state"],
            model["rows"],
            model["lag_messages"],
            _minute(model["last_row"]),
            _minute(model["watermark"]),
            ", ".join(model["open_incidents"]) or None,
        ]
        for model in models
    ]
    header = ["model", "state", "rows", "lag", "last row", "complete until", "open incidents"]
    for line in table(header, rows, right=["rows", "lag"]):
        say(line)
    for model in models:
        if model["reason"]:
            say(f"{model['model']}: {model['reason']}")
        if model["no_row_yet"]:
            say(f"{model['model']} has no row yet: {model['no_row_yet']}.")
    for note in trouble:
        say(f"Trouble since {_minute(note['since'])}: {note['sentence']}")
    waited = found["undelivered_seconds"]
    if isinstance(waited, float) and waited > 0:
        say(f"Undelivered messages wait, the oldest for {waited:.0f} s.")
    if with_books:
        for model in models:
            say()
            say(f"{model['model']}:")
            for line in _books(model["books"]):
                say(f"  {line}")
    violations = found.get("books_violated")
    if isinstance(violations, list):
        for violation in violations:
            say(f"The books do not balance: {violation}")
        if not violations:
            say("The books balance.")


def _books(counters: dict[str, int]) -> list[str]:
    """The books as sums: `messages 120 = decoded 118 + dead_lettered 2 + ignored 0`."""
    from daemon.store.books import EQUATIONS

    return [
        f"{total} {counters.get(total, 0)} = " + " + ".join(f"{part} {counters.get(part, 0)}" for part in parts)
        for total, parts in EQUATIONS.items()
    ]


def _minute(text: object) -> str | None:
    from detectors.instants import parse_rfc3339

    return minute(parse_rfc3339(text)) if isinstance(text, str) else None
