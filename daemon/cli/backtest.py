"""`driftd backtest`: what a configuration would have told of history."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.clock import wall_clock
from daemon.cli.errors import Exit, Misconfigured, Undecided, Unreachable, UsageError
from daemon.cli.opening import ask_kafka, known_model, problem_lines
from daemon.cli.options import ConfigOption, Format, FormatOption, config_path, output_format
from daemon.cli.output import complain, say, say_json, table
from daemon.cli.run import Level, default_workers
from daemon.cli.times import minute, parse_instant, second

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daemon.cli.replay import Measure, Replayed
    from daemon.cli.signals import Signals
    from daemon.config.errors import Problem
    from daemon.config.settings import Settings
    from daemon.incidents.comparison import Pair
    from daemon.incidents.incident import Incident
    from daemon.store import Store
    from detectors.instants import Micros

PRESENT, CHANGED = "present", "changed"
LINE = 120
MOST_MEASURES = 20
"""So many measures are in the table, those that differ most first; JSON has all."""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(backtest)


def backtest(
    context: typer.Context,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL...]", help="The models; without one all of them.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="A change to compare with, such as models.NAME.window.size=7d; may be given several times.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="A Parquet file or a folder of them; without it Kafka is read."),
    ] = None,
    label_time: Annotated[
        str | None,
        typer.Option("--label-time", metavar="COLUMN", help="The column of the labels' own times in these files."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only rows from then on: an instant, or 7d ago.")
    ] = None,
    offset: Annotated[
        int | None, typer.Option("--offset", min=0, help="Predictions in Kafka from this offset of each partition on.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="FOLDER", help="Leave stores and configurations there, for other verbs."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=64, help="Worker processes.  [default: cores - 1, at most 4]")
    ] = None,
    log_level: Annotated[Level, typer.Option("--log-level", help="What is logged to stderr.")] = Level.WARNING,
    config: ConfigOption = None,
    format: FormatOption = None,
) -> None:
    """Replay history under the present configuration or a changed one: incidents, gained and lost. Nothing is sent."""
    from daemon.cli import logs
    from daemon.cli.signals import Signals

    if since is not None and offset is not None:
        raise UsageError("--since and --offset both say where to begin: give one of them")
    if source is not None and offset is not None:
        raise UsageError("--offset is one of Kafka's; with --from say --since")
    if source is None and label_time is not None:
        raise UsageError("--label-time names a column of files: give them with --from")
    path, printed = config_path(context, config), output_format(context, format)
    begins = None if since is None else parse_instant(since, wall_clock(), "--since")
    sides = {PRESENT: _settings(path, from_kafka=source is None)}
    if change:
        sides[CHANGED] = _settings(path, change, from_kafka=source is None)
    chosen = [known_model(sides[PRESENT], name) for name in dict.fromkeys(models or sides[PRESENT].models)]
    if source is not None and len(chosen) > 1:
        raise UsageError(f"--from has the rows of one model: name it ({', '.join(chosen)})")
    logs.start(log_level)
    signals = Signals()
    signals.install(with_reload=False)
    with ExitStack() as stack:
        folder = _folder(stack, keep)
        reading = {
            side: _reading(settings, chosen, folder / side, source, label_time, begins)
            for side, settings in sides.items()
        }
        if source is None:
            for replayed, _ in reading.values():
                ask_kafka(replayed)
        found = {
            side: _replay(replayed, consumer, source is None, begins, offset, signals, workers)
            for side, (replayed, consumer) in reading.items()
        }
    if not any(one.has_judged for one in found.values()):
        raise Undecided(_why_nothing(found[PRESENT], chosen))
    if printed is Format.JSON:
        say_json(_json(found))
    else:
        _print(found, change or [])
        if keep is not None:
            say()
            for side in sides:
                say(f"More of {side}: driftd results --config {folder / side}")


def _settings(path: Path, changes: Sequence[str] = (), *, from_kafka: bool) -> Settings:
    """The settings with some changes; of the secrets only Kafka's are read, and only where it is."""
    from daemon.config.errors import ConfigurationError
    from daemon.config.load import load_leniently

    secrets = frozenset({"kafka"}) if from_kafka else False
    try:
        loaded = load_leniently(path, environ=os.environ, secrets=secrets, changes=changes)
    except ConfigurationError as error:
        if changes:
            raise UsageError(_mistakes(error.problems)) from error
        raise Misconfigured(problem_lines(path, error)) from error
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    if errors and changes:
        raise UsageError(_mistakes(errors))
    if errors:
        lines = "\n".join(map(str, errors))
        raise Misconfigured(f"{lines}\na backtest needs every model; correct the mistakes above")
    return loaded.settings


def _mistakes(problems: Sequence[Problem]) -> str:
    """What is wrong with the changes: without them there was no mistake."""
    lines = [str(problem) for problem in problems if problem.severity == "error"]
    return "\n".join(["with these changes (--set) the configuration is wrong:", *lines])


def _folder(stack: ExitStack, keep: Path | None) -> Path:
    if keep is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="driftd-backtest-")))
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UsageError(f"--keep {keep}: is there already; name a folder that is new or empty")
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unreachable(f"--keep {keep} cannot be made: {error.strerror or error}") from error
    return keep.absolute()


def _reading(
    settings: Settings,
    chosen: Sequence[str],
    folder: Path,
    source: Path | None,
    label_time: str | None,
    since: Micros | None,
) -> tuple[Settings, object]:
    """The settings to replay by, and what opens the consumer; None for Kafka's own."""
    from daemon.cli.replay import unheard

    replayed = unheard(settings, chosen, folder)
    if source is None:
        models = {}
        for name, model in replayed.models.items():
            roles = {"predictions": model.predictions, "labels": model.labels}
            begun = {role: one.model_copy(update={"start": "earliest"}) for role, one in roles.items() if one}
            models[name] = model.model_copy(update=begun)
        return replayed.model_copy(update={"models": models}), None
    from daemon.stream.errors import HistoryError
    from daemon.stream.history.consumer import open_history

    (name,) = chosen
    try:
        history = open_history(replayed.models[name], source, label_time=label_time, since=since)
    except HistoryError as error:
        raise UsageError(f"--from {error}") from error
    if replayed.models[name].labels is not None and not history.has_labels and folder.name == PRESENT:
        complain(f"driftd: {source} has no column of labels, so quality is not judged")
    return replayed.model_copy(update={"models": {name: history.model}}), history.consumer


def _replay(
    settings: Settings,
    consumer: object,
    from_kafka: bool,
    since: Micros | None,
    offset: int | None,
    signals: Signals,
    workers: int | None,
) -> Replayed:
    from daemon.cli.replay import replay
    from daemon.stream.consumer import Consumer
    from daemon.stream.errors import KafkaUnreachable
    from daemon.stream.history.beginning import begin_at

    def prepare(store: Store) -> None:
        if from_kafka and (since is not None or offset is not None):
            begin_at(settings, store, since=since, offset=offset)

    try:
        code, replayed = replay(
            settings,
            signals=signals,
            workers=workers or default_workers(),
            prepare=prepare,
            consumer=consumer if callable(consumer) else Consumer,
        )
    except KafkaUnreachable as error:
        raise Unreachable(str(error)) from error
    if signals.stopping:
        raise typer.Exit(Exit.INTERRUPTED)
    if code != Exit.FINE:
        raise typer.Exit(code)
    return replayed


def _why_nothing(replayed: Replayed, chosen: Sequence[str]) -> str:
    reasons = [f"{name}: {replayed.waiting[name]}" for name in chosen if name in replayed.waiting]
    return "; ".join(["no window was judged", *reasons]) if reasons else "no window was judged: there is no whole one"


def _pairs(found: dict[str, Replayed]) -> list[Pair]:
    from daemon.incidents.comparison import Pair, compare

    if CHANGED in found:
        return compare(found[PRESENT].incidents, found[CHANGED].incidents)
    return [Pair(incident, None) for incident in found[PRESENT].incidents]


def _measures(found: dict[str, Replayed]) -> list[tuple[Measure, list[int]]]:
    """Every flagged measure with how many windows of each side were, the greatest difference first."""
    every = {measure for one in found.values() for measure in one.flagged}
    counted = [(measure, [one.flagged[measure] for one in found.values()]) for measure in every]
    return sorted(counted, key=lambda entry: (min(entry[1]) - max(entry[1]), -sum(entry[1]), str(entry[0])))


def _json(found: dict[str, Replayed]) -> dict[str, object]:
    compared = CHANGED in found
    incidents: list[dict[str, object]] = []
    for pair in _pairs(found):
        sides = {PRESENT: pair.present, CHANGED: pair.changed} if compared else {PRESENT: pair.present}
        told: dict[str, object] = {side: None if one is None else _incident_json(one) for side, one in sides.items()}
        incidents.append({"outcome": pair.outcome.value, **told} if compared else told)
    return {
        "windows": {side: {name: dict(kinds) for name, kinds in one.windows.items()} for side, one in found.items()},
        "incidents": incidents,
        "flagged": [
            {**measure._asdict(), **dict(zip(found, counts, strict=True))} for measure, counts in _measures(found)
        ],
        "not_judged": {side: one.waiting for side, one in found.items()},
    }


def _incident_json(incident: Incident) -> dict[str, object]:
    return {
        "incident": incident.id,
        "model": incident.model,
        "family": incident.family.value,
        "since": second(incident.since),
        "told_at": second(incident.opened_at),
        "resolved_at": second(incident.resolved_at),
        "windows_flagged": incident.windows,
        "held": incident.held,
        "what": _what(incident),
    }


def _what(incident: Incident) -> str:
    from daemon.incidents.words import clauses

    return clauses([line.key for line in incident.lines])


def _print(found: dict[str, Replayed], changes: Sequence[str]) -> None:
    for change in changes:
        say(f"{CHANGED}: {change}")
    for side, one in found.items():
        for name, kinds in one.windows.items():
            judged = " and ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            label = f"{side}: " if CHANGED in found else ""
            say(f"{label}{name}, {judged} windows judged from {minute(one.start)} to {minute(one.end)}")
        for name, reason in one.waiting.items():
            say(f"{side}: {name} was not judged: {reason}")
    say()
    _print_incidents(_pairs(found), compared=CHANGED in found)
    measures = _measures(found)
    if measures:
        say()
        header = ["model", "signal", "column", "metric", *(f"{side} windows" for side in found)]
        rows = [[*measure, *counts] for measure, counts in measures[:MOST_MEASURES]]
        for line in table(header, rows, right=header[4:], width=LINE, shrink=["model", "column", "metric"]):
            say(line)
        if len(measures) > MOST_MEASURES:
            say(f"and {len(measures) - MOST_MEASURES} more; --format json has all of them")


def _print_incidents(pairs: list[Pair], *, compared: bool) -> None:
    if not pairs:
        say("No incident." if not compared else "No incident, before or after the change.")
        return
    sides = [PRESENT, CHANGED] if compared else [PRESENT]
    header = [
        "model",
        "family",
        "since",
        *(f"told {side}" if compared else "told" for side in sides),
        "windows",
        "what",
    ]
    rows: list[list[object]] = []
    for pair in pairs:
        shown = pair.present or pair.changed
        assert shown is not None
        told = [_told(one) for one in (pair.present, pair.changed)[: len(sides)]]
        row: list[object] = [shown.model, shown.family.value, minute(pair.since), *told, shown.windows, _what(shown)]
        rows.append([pair.outcome.value, *row] if compared else row)
    if compared:
        header = ["outcome", *header]
        counts = {outcome: sum(pair.outcome == outcome for pair in pairs) for outcome in ("kept", "gained", "lost")}
        say(f"Incidents: {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}.")
    for line in table(header, rows, right=["windows"], width=LINE, shrink=["what", "model"]):
        say(line)


def _told(incident: Incident | None) -> str | None:
    """When it would have been told; an incident that is held while data is missing is not."""
    if incident is None:
        return None
    return "held" if incident.held else minute(incident.opened_at)
