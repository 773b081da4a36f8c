"""`driftd drill`: a fault put into a copy of recent traffic; would it be told, when, and how small may it be?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.errors import Exit, Undecided, UsageError
from daemon.cli.opening import known_model, load_settings, open_for_reading
from daemon.cli.options import ConfigOption, Format, FormatOption, config_path, output_format
from daemon.cli.output import say, say_json
from daemon.cli.times import minute, second

if TYPE_CHECKING:
    from daemon.config.settings import Settings
    from daemon.schedule.drilling import Drilled
    from daemon.schedule.drills import Prepared
    from daemon.schedule.silence import Allowance
    from detectors.drill import Fault
    from detectors.instants import Micros

OF_A_COLUMN = ("--shift", "--missing", "--freeze", "--unit")


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(drill)


def drill(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model.")],
    column: Annotated[str | None, typer.Option("--column", help="The column that goes wrong.")] = None,
    shift: Annotated[
        str | None,
        typer.Option("--shift", metavar="SIZE", help="Its values move: 0.5sd is half a standard deviation."),
    ] = None,
    missing: Annotated[
        str | None, typer.Option("--missing", metavar="SHARE", help="So many of its values go missing: 10%.")
    ] = None,
    swap: Annotated[
        tuple[str, str] | None, typer.Option("--swap", metavar="A B", help="Two columns have each other's values.")
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="It stays at one value.")] = False,
    unit: Annotated[
        float | None, typer.Option("--unit", metavar="FACTOR", help="It comes in another unit: 1.609 times as large.")
    ] = None,
    drop_producer: Annotated[
        str | None,
        typer.Option("--drop-producer", metavar="DURATION", help="No predictions come for so long: 2h."),
    ] = None,
    config: ConfigOption = None,
    format: FormatOption = None,
) -> None:
    """Say whether and when a fault would be told, and the smallest that would be found. Nothing is changed or sent."""
    from daemon.schedule.drills import CannotDrill

    given = {
        "--shift": shift,
        "--missing": missing,
        "--swap": swap,
        "--freeze": freeze or None,
        "--unit": unit,
        "--drop-producer": drop_producer,
    }
    options = [name for name, value in given.items() if value is not None]
    if len(options) != 1:
        said = f"not {' and '.join(options)}" if options else "none is given"
        raise UsageError(f"a drill has one fault, {said}: {', '.join(given)}")
    (option,) = options
    if (column is not None) != (option in OF_A_COLUMN):
        raise UsageError(
            f"{option} happens to a column: name it with --column" if column is None else f"{option} needs no --column"
        )
    settings = load_settings(config_path(context, config))
    known_model(settings, model)
    as_json = output_format(context, format) is Format.JSON
    try:
        if drop_producer is not None:
            code = _silence(settings, model, _duration(drop_producer), as_json)
        else:
            fault = _fault(column, shift, missing, swap, unit)
            code = _rows(settings, model, fault, _words(fault), as_json)
    except CannotDrill as error:
        raise Undecided(str(error)) from error
    raise typer.Exit(code)


def _fault(
    column: str | None, shift: str | None, missing: str | None, swap: tuple[str, str] | None, unit: float | None
) -> Fault:
    from daemon.config.quantities import parse_share
    from detectors.drill import LIMITS, Fault, Kind, parse_shift

    if swap is not None:
        return Fault(Kind.SWAP, swap)
    assert column is not None
    try:
        if shift is not None:
            fault = Fault(Kind.SHIFT, (column,), parse_shift(shift))
        elif missing is not None:
            fault = Fault(Kind.MISSING, (column,), parse_share(missing))
        elif unit is not None:
            if not unit > 0 or unit == 1:
                raise ValueError(f"{unit:g} is no factor of another unit; it is more than 0 and not 1, such as 1.609")
            fault = Fault(Kind.UNIT, (column,), unit)
        else:
            return Fault(Kind.FREEZE, (column,))
    except ValueError as error:
        raise UsageError(f"--{'shift' if shift else 'missing' if missing else 'unit'}: {error}") from error
    if not 0 < fault.magnitude <= LIMITS[fault.kind]:
        largest = fault.of_magnitude(LIMITS[fault.kind])
        raise UsageError(f"--{fault.kind}: more than nothing, and at most {_size(largest, largest.size)}")
    return fault


def _duration(text: str) -> Micros:
    from daemon.config.quantities import parse_duration
    from detectors.instants import micros

    try:
        length = micros(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--drop-producer: {error}") from error
    if length <= 0:
        raise UsageError("--drop-producer: a silence lasts longer than nothing, such as 2h")
    return length


def _size(fault: Fault, size: float | None) -> str:
    """A size of this kind of fault, as one gives it."""
    from detectors.drill import Kind

    assert size is not None
    match fault.kind:
        case Kind.SHIFT:
            return f"{size:.2g}sd"
        case Kind.MISSING:
            return f"{size:.2%}" if size < 0.1 else f"{size:.0%}"
        case _:
            return f"{size:.4g}"


def _words(fault: Fault) -> str:
    from detectors.drill import Kind

    names = " and ".join(fault.columns)
    match fault.kind:
        case Kind.SWAP:
            return f"{names} swapped"
        case Kind.FREEZE:
            return f"{names} frozen"
        case Kind.UNIT:
            return f"{names} times {_size(fault, fault.size)}"
        case Kind.MISSING:
            return f"{_size(fault, fault.size)} of {names} missing"
        case Kind.SHIFT:
            return f"{names} shifted by {_size(fault, fault.size)}"


# A fault in the rows


def _rows(settings: Settings, model: str, fault: Fault, words: str, as_json: bool) -> int:
    from daemon.cli.specs import stored_specs
    from daemon.schedule.drilling import drill as drilled_windows
    from daemon.schedule.drills import prepare_drill
    from detectors.errors import UnsuitableFault

    with open_for_reading(settings) as store, store.read() as conn:
        prepared = prepare_drill(conn, settings, model, fault, stored_specs())
    try:
        drilled = drilled_windows(prepared.task)
    except UnsuitableFault as error:
        raise UsageError(f"{model}: {error}") from error
    outcome = _outcome(drilled)
    if as_json:
        say_json(_json(model, words, fault, prepared, drilled, outcome))
    else:
        _print(model, words, fault, prepared, drilled, outcome)
    return outcome.code


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a drill comes to, in a word and in an exit code."""

    verdict: str
    code: Exit


TOLD = Outcome("told", Exit.FINE)
FOUND = Outcome("found", Exit.BAD_NEWS)
MISSED = Outcome("missed", Exit.BAD_NEWS)
UNDECIDED = Outcome("undecided", Exit.UNDECIDED)


def _outcome(drilled: Drilled) -> Outcome:
    if drilled.told_at is not None:
        return TOLD
    if drilled.waiting:
        return UNDECIDED
    return FOUND if drilled.lines else MISSED


def _print(model: str, words: str, fault: Fault, prepared: Prepared, drilled: Drilled, outcome: Outcome) -> None:
    from daemon.incidents.words import clauses, length

    onset, size = prepared.task.onset, prepared.task.windows[0][1] - prepared.task.windows[0][0]
    drifted = clauses([line.key for line in drilled.lines])
    match outcome.verdict:
        case "told":
            assert drilled.told_at is not None
            told = clauses([line.key for line in drilled.lines if line.told])
            say(
                f"{words}: told after {length(drilled.told_at - onset)}, when the window ends at which it has been "
                f"seen long enough: {told}."
            )
        case "found":
            at = length(min(line.at for line in drilled.lines) - onset)
            say(
                f"{words}: found after {at} ({drifted}), but nobody is told: drift of a feature opens an incident only "
                "where it is named in columns.important; else it is told as the likely cause of one."
            )
        case "missed":
            say(f"{words}: not found.")
        case _:
            reasons = ", ".join(verdict.value for verdict in drilled.waiting)
            say(f"{words}: it cannot be said yet, because {model} is judged with {reasons} there.")
    if drilled.largest is not None:
        say(_smallest(fault, drilled))
    if drilled.already:
        say(f"Without the fault there is already: {clauses(list(drilled.already))}; more of the same is not counted.")
    sampled = "" if drilled.rows == prepared.rows else f", sampled of {prepared.rows:,}: with all of them no later"
    windows = prepared.task.windows
    say(
        f"Tried on the {len(windows)} windows of {length(size)} since {minute(onset)}, the last to "
        f"{minute(windows[-1][1])} ({drilled.rows:,} rows{sampled})."
    )


def _smallest(fault: Fault, drilled: Drilled) -> str:
    if drilled.smallest_told is not None:
        told = f"The smallest that is told: {_size(fault, drilled.smallest_told)}"
        if drilled.smallest_found in (None, drilled.smallest_told):
            return f"{told}."
        return f"{told}; from {_size(fault, drilled.smallest_found)} on it is found."
    if drilled.smallest_found is not None:
        found, largest = _size(fault, drilled.smallest_found), _size(fault, drilled.largest)
        return f"The smallest that is found: {found}; none up to {largest} is told."
    return f"None up to {_size(fault, drilled.largest)} is found."


def _json(
    model: str, words: str, fault: Fault, prepared: Prepared, drilled: Drilled, outcome: Outcome
) -> dict[str, object]:
    task = prepared.task
    return {
        "model": model,
        "fault": fault.kind.value,
        "columns": list(fault.columns),
        "size": fault.size,
        "what": words,
        "verdict": outcome.verdict,
        "begins": second(task.onset),
        "told_at": second(drilled.told_at),
        "lines": [
            {
                "signal": line.key.signal.value,
                "column": line.key.column,
                "metric": line.key.metric,
                "segment": dict(line.key.segment) or None,
                "version": line.key.version,
                "at": second(line.at),
                "windows": line.windows,
                "told": line.told,
            }
            for line in drilled.lines
        ],
        "smallest_told": drilled.smallest_told,
        "smallest_found": drilled.smallest_found,
        "largest_tried": drilled.largest,
        "waiting": [verdict.value for verdict in drilled.waiting],
        "rows": prepared.rows,
        "sampled_rows": drilled.rows,
    }


# No rows at all


def _silence(settings: Settings, model: str, silent: Micros, as_json: bool) -> int:
    from daemon.incidents.words import length
    from daemon.schedule.drills import allowed_now
    from detectors.instants import SECOND

    with open_for_reading(settings) as store, store.read() as conn:
        allowed = allowed_now(conn, settings, model)
    is_told = silent > allowed.after
    outcome = TOLD if is_told else UNDECIDED if allowed.unknown else MISSED
    if as_json:
        say_json(
            {
                "model": model,
                "fault": "drop-producer",
                "size": silent / SECOND,
                "what": f"no predictions for {length(silent)}",
                "verdict": outcome.verdict,
                "told_after": allowed.after / SECOND if is_told else None,
                "smallest_told": allowed.after / SECOND,
            }
        )
    else:
        told = f"told after {length(allowed.after)}" if is_told else "not told"
        say(f"no predictions for {length(silent)}: {told}.")
        say(f"The shortest silence that is told: more than {length(allowed.after)} ({_why(allowed)}).")
    return outcome.code


def _why(allowed: Allowance) -> str:
    from daemon.incidents.words import length

    if allowed.unknown:
        return "there is nothing to learn from yet"
    return "as configured" if allowed.usual is None else f"the usual gap is at most {length(allowed.usual)}"
