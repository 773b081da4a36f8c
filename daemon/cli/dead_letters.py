"""`driftd dead-letters`: messages that could not be counted, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.errors import UsageError
from daemon.cli.opening import load_settings, open_for_reading
from daemon.cli.options import ConfigOption, Format, FormatOption, config_path, output_format
from daemon.cli.output import say, say_json, table
from daemon.cli.times import minute, second

if TYPE_CHECKING:
    from daemon.store.dead_letters import DeadLetter


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    group = typer.Typer(help="Messages that could not be counted: where they are, and why.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    app.add_typer(group, name="dead-letters")


def list_(
    context: typer.Context,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only this model's.")] = None,
    topic: Annotated[str | None, typer.Option("--topic", help="Only this topic's.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many, the newest first.")] = 50,
    config: ConfigOption = None,
    format: FormatOption = None,
) -> None:
    """List dead letters, the newest first."""
    from daemon.store import dead_letters

    settings = load_settings(config_path(context, config))
    with open_for_reading(settings) as store, store.read() as conn:
        letters = dead_letters.load(conn, model=model, topic=topic, limit=limit)
        total = dead_letters.count(conn)
    if output_format(context, format) is Format.JSON:
        for letter in letters:
            say_json(_json(letter))
        return
    if not letters:
        say("No dead letters." if not total else f"No dead letter fits; {total} are kept.")
        return
    rows = [
        [letter.id, minute(letter.at), letter.model, _place(letter), letter.reason, _first_line(letter.detail)]
        for letter in letters
    ]
    for line in table(["id", "at", "model", "offset", "reason", "detail"], rows, right=["id"]):
        say(line)
    if total > len(letters):
        say(f"{len(letters)} of {total}; more with --limit.")


def show(
    context: typer.Context,
    id: Annotated[int, typer.Argument(metavar="ID", help="The number that `list` prints.")],
    config: ConfigOption = None,
    format: FormatOption = None,
) -> None:
    """Show one dead letter whole: where it is, why it was not counted, how it begins."""
    from daemon.store import dead_letters

    settings = load_settings(config_path(context, config))
    with open_for_reading(settings) as store, store.read() as conn:
        letter = dead_letters.show(conn, id)
    if letter is None:
        raise UsageError(f"there is no dead letter {id}; `driftd dead-letters list` shows those that are kept")
    if output_format(context, format) is Format.JSON:
        say_json(_json(letter))
        return
    say(f"Dead letter {letter.id}: {letter.reason}")
    say(f"  {letter.detail}")
    say(f"  at {_place(letter)}, kept {minute(letter.at)}, model {letter.model or 'unknown'}")
    if letter.payload is None:
        say("  no payload: the batch could not be read")
        return
    cut = f", the first {len(letter.payload)} shown" if len(letter.payload) < letter.payload_bytes else ""
    say(f"  {letter.payload_bytes} bytes{cut}:")
    say(_printable(letter.payload))


def _place(letter: DeadLetter) -> str:
    """The coordinates: topic[partition]@offset, or the offsets of a batch."""
    last = f"-{letter.offset_end - 1}" if letter.offset_end > letter.offset + 1 else ""
    return f"{letter.topic}[{letter.partition}]@{letter.offset}{last}"


def _json(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "at": second(letter.at),
        "model": letter.model,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "offset_end": letter.offset_end,
        "reason": letter.reason,
        "detail": letter.detail,
        "payload_bytes": letter.payload_bytes,
        "payload": None if letter.payload is None else _printable(letter.payload),
    }


def _printable(payload: bytes) -> str:
    """The payload as text that cannot steer a terminal; bytes that are no text are escaped."""
    text = payload.decode("utf-8", errors="backslashreplace")
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def _first_line(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= 80 else line[:79] + "…"
