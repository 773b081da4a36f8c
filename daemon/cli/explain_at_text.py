"""What `driftd explain MODEL --at T` found, for people."""

from __future__ import annotations

from typing import Any

from daemon.cli.explain_lines import MEASURES, segment_text
from daemon.cli.output import say, table


def print_at(found: dict[str, Any]) -> None:
    """What lasted then, the windows, the lines nearest to their limits, what comes next, and what is not known."""
    say(f"{found['model']} at {found['at']}")
    for incident in found["incidents"]:
        until = f", until {incident['until']}" if incident["until"] else ""
        told = "told" if incident["told"] <= found["at"] else "told later,"
        say(f"{incident['incident']} lasted, since {incident['since']}{until}; {told} at {incident['told']}.")
    if not found["incidents"]:
        say("No incident lasted then.")
    for stretch in found["interruptions"]:
        say(f"Since {stretch['start']}: {stretch['detail']}; drift and quality are held back meanwhile.")
    say()
    rows = [
        [window["kind"], window["start"], window["end"], window["rows"], window["judged_at"], window["state"]]
        for window in found["windows"]
    ]
    for text in table(["window", "from", "to", "rows", "judged at", "state"], rows, right=["rows"]):
        say(text)
    for why in dict.fromkeys(window["why"] for window in found["windows"] if window["why"]):
        ends = [f"{one['kind']} to {one['end']}" for one in found["windows"] if one["why"] == why]
        say(f"{', '.join(ends)}: {why}.")
    say()
    _print_lines(found)
    say()
    say(f"Next: {found['next']}.")
    for sentence in found["unknown"]:
        say(f"Not known any more: {sentence}")


def _print_lines(found: dict[str, Any]) -> None:
    if not found["lines"]:
        say("No value was measured in these windows.")
        return
    portions = dict.fromkeys((line["budget"], line["budget_portion"]) for line in found["lines"] if line["budget"])
    shares = ", ".join(f"{100 * portion:.0f} % for {budget}" for budget, portion in portions)
    say(f"It may raise {found['false_alarms_per_week']:.2g} false alarms a week" + (f"; {shares}." if shares else "."))
    left = found["lines_left_out"]
    say(
        f"What was measured, the nearest to being told first; it takes {found['for']} disjoint windows in a row"
        + (f" ({left} more with --all):" if left else ":")
    )
    header = ["to", "signal", "column", "metric", "version", "segment", *MEASURES, "level", "budget", "windows", "why"]
    rows = [
        [
            line["window_end"][:16].replace("T", " "),
            line["signal"],
            line["column"],
            line["metric"],
            line["version"],
            segment_text(line["segment"]),
            line["value"],
            line["threshold"],
            line["noise_floor"],
            line["p_value"],
            None if line["level"] is None else f"{line['level']:.2g}",
            line["budget"],
            _windows(line),
            f"told: {line['incident']}" if line["incident"] else line["why"],
        ]
        for line in found["lines"]
    ]
    # A column in which nothing stands tells nothing.
    used = [place for place, name in enumerate(header) if name == "why" or any(row[place] for row in rows)]
    header, rows = [header[place] for place in used], [[row[place] for place in used] for row in rows]
    for text in table(header, rows, right=[*MEASURES, "level"]):
        say(text)
    for end in sorted({line["next_counted_window_end"] for line in found["lines"]} - {None}):
        say(f"What is pending counts next with the window to {end}.")


def _windows(line: dict[str, Any]) -> str:
    """How many windows had counted of how many it takes."""
    if line["for"] is None:
        return "at once"
    if line["windows_flagged"] is None:
        return f"? of {line['for']}"
    at_least = "≥ " if line["at_least"] else ""
    return f"{at_least}{line['windows_flagged']} of {line['for']}"
