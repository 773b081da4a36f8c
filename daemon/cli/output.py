"""Printing: aligned tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

import typer

NOTHING = "–"
SHORTEST = 10
"""So many characters of a text are left where a line would be too long."""
_GAP = "  "


def say(line: str = "") -> None:
    """Prints one line to stdout."""
    typer.echo(line)


def complain(sentence: str) -> None:
    """Prints one line to stderr."""
    print(sentence, file=sys.stderr, flush=True)


def say_json(value: object) -> None:
    """Prints one JSON value on one line, keys in their own order."""
    typer.echo(json.dumps(value, ensure_ascii=False, separators=(", ", ": "), allow_nan=False))


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Iterable[str] = (),
    width: int = 0,
    shrink: Iterable[str] = (),
) -> list[str]:
    """Lines of a table, columns aligned; those named in `right` to the right.

    Where lines would be longer than `width`, texts of the columns in `shrink` are cut, to SHORTEST characters at most.

    >>> print("\\n".join(table(["model", "rows"], [["flight-delay", 930], ["fraud", None]], right=["rows"])))
    model         rows
    flight-delay   930
    fraud            –
    >>> table(["column", "verdict"], [["a_column_with_a_long_name", "ok"]], width=25, shrink=["column"])[1]
    'a_column_with_a…  ok'
    """
    cells = [[text(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(header)]
    to_right = {i for i, name in enumerate(header) if name in set(right)}
    long = [i for i, name in enumerate(header) if name in set(shrink)]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        longest = max(long, key=widths.__getitem__, default=None)
        if longest is None or widths[longest] <= SHORTEST:
            break
        widths[longest] -= 1

    def line(row: Sequence[str]) -> str:
        fitted = (
            cell if len(cell) <= width else f"{cell[: width - 1]}…" for cell, width in zip(row, widths, strict=True)
        )
        aligned = (
            cell.rjust(width) if i in to_right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(fitted, widths, strict=True))
        )
        return _GAP.join(aligned).rstrip()

    return [line(header), *(line(row) for row in cells)]


def text(value: object) -> str:
    """A value as a person reads it: numbers to four significant digits, an absent one as a dash.

    >>> text(0.123456), text(1234567.0), text(930), text(None)
    ('0.1235', '1.235e+06', '930', '–')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
