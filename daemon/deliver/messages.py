"""Incidents as Slack messages: pure functions from a view to text and blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daemon.deliver.mrkdwn import code, escape, link, mention, plain
from daemon.deliver.sentences import happened, recovered, story, zone_name
from daemon.deliver.view import IncidentView
from daemon.incidents.incident import Incident, Severity, State
from daemon.incidents.words import clauses, day, gravest
from detectors.findings import Signal

MAX_TEXT = 120
MAX_HEADER = 150
MAX_SECTION = 3_000
MAX_TIMELINE = 20
Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is what a phone's push shows, `blocks` what the channel shows."""

    text: str
    blocks: tuple[Block, ...]


def root(view: IncidentView) -> Message:
    """The incident's one root, edited in place: at most nine lines, or two once it is over."""
    return _over(view) if view.incident.state is State.RESOLVED else _open(view)


def _open(view: IncidentView) -> Message:
    told = story(view.incident, view.zone, view.labels_within)
    title = f"{_emoji(view.incident)} {view.incident.model} · {told.title}"
    changed = [escape(sentence) for sentence in told.changed]
    body = [
        " ".join([f"*{changed[0]}.*", *(f"{sentence}." for sentence in changed[1:])]),
        escape(told.since),
        *(escape(line) for line in (told.cause, told.before, told.state, told.held) if line),
    ]
    blocks = [_header(title), _section("\n".join(body))]
    if told.findings:
        blocks.append(_context(escape(told.findings, 1_000)))
    blocks.append(_context(" · ".join(_footer(view))))
    return Message(_push(f"{title}. {told.changed[0]}"), tuple(blocks))


def _over(view: IncidentView) -> Message:
    words, line = recovered(view.incident, view.zone)
    title = f"🟢 {view.incident.model} · {words}"
    explain = code(f"driftd explain {view.incident.id}")
    return Message(_push(f"{title}. {line}"), (_header(title), _section(f"{escape(line)} {explain}")))


def timeline(view: IncidentView) -> Message:
    """The thread's one reply that tells what happened when; edited, so that it disturbs nobody."""
    incident = view.incident
    entries = incident.timeline
    hidden = max(0, len(entries) - MAX_TIMELINE) + incident.timeline_cut
    shown = entries if len(entries) <= MAX_TIMELINE else (entries[0], *entries[-MAX_TIMELINE + 1 :])
    rows = [f"{day(entry.at, view.zone)}  {escape(entry.text, 250)}" for entry in shown]
    if hidden:
        rows.insert(1, f"_and {hidden} more in between_")
    sections, length = [[f"*Timeline* ({zone_name(incident.since, view.zone)})"]], 0
    for row in rows:
        if length + len(row) > MAX_SECTION - 100:
            sections.append([])
            length = 0
        sections[-1].append(row)
        length += len(row) + 1
    blocks = tuple(_section("\n".join(lines)) for lines in sections)
    newest = entries[-1].text if entries else ""
    return Message(_push(f"{incident.model} · {newest}"), blocks)


def alarm(view: IncidentView) -> Message:
    """A new reply, also shown in the channel, because someone must look again: it got worse, or it came back."""
    incident = view.incident
    heads = [line for line in gravest(incident.lines) if line.told and line.key.signal is not Signal.FEATURE_DRIFT]
    heads = heads or [line for line in gravest(incident.lines) if line.told]
    if incident.alarm == "relapsed":
        said = f"{incident.model}: {clauses([heads[0].key])} again"
        told = f"{happened(heads[0])}. It had begun to recover."
    else:
        said = f"{incident.model} got worse"
        told = f"{happened(heads[0])}."
    mark = _emoji(incident)
    return Message(_push(f"{mark} {said}. {told}"), (_section(f"{mark} *{escape(said)}.* {escape(told)}"),))


def _emoji(incident: Incident) -> str:
    """Red where rows are missing, errors grow or a pager goes; yellow while it recovers; else orange."""
    if incident.state is State.RECOVERING:
        return "🟡"
    told = {line.key.signal for line in incident.lines if line.told}
    grave = incident.severity is Severity.PAGE or Signal.NO_PREDICTIONS in told or Signal.QUALITY in told
    return "🔴" if grave else "🟠"


def _footer(view: IncidentView) -> Sequence[str]:
    parts = [code(f"driftd explain {view.incident.id}")]
    if view.runbook:
        parts.append(link(view.runbook, "Runbook"))
    if view.mention:
        parts.append(mention(view.mention))
    return parts


def _push(text: str) -> str:
    """What is shown where blocks are not: a push. It is mrkdwn too, so it is cut until it is short once escaped."""
    limit = MAX_TEXT
    while len(escaped := escape(text, limit)) > MAX_TEXT:
        limit -= 5
    return escaped


def _header(text: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": plain(text, MAX_HEADER), "emoji": True}}


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [_mrkdwn(text)]}


def _mrkdwn(text: str) -> Block:
    if len(text) > MAX_SECTION:
        # Slack refuses the whole message; half an entity or half a link would show as such.
        text = re.sub(r"(&[a-z]*|<[^>]*)$", "", text[: MAX_SECTION - 1]) + "…"
    # `verbatim`: else Slack itself turns URLs, channel names and mentions within values into links.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
