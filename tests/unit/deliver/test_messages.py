"""Every message as a snapshot; `DRIFTD_SNAPSHOTS=write pytest tests/unit/deliver` writes them anew: read the diff."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from daemon.deliver.messages import Message, alarm, root, timeline
from tests.unit.deliver.gallery import incidents, view

SNAPSHOTS = Path(__file__).parent / "snapshots"
INCIDENTS = incidents()


def shown(message: Message) -> str:
    """A message as plain text: the push, then each block as Slack lays it out."""
    lines = [f"push: {message.text}"]
    for block in message.blocks:
        if block["type"] == "context":
            lines += [f"· {element['text']}" for element in block["elements"]]
        elif block["type"] == "header":
            lines.append(f"# {block['text']['text']}")
        else:
            lines.append(block["text"]["text"])
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", INCIDENTS)
def test_message_reads_as_it_did(name: str) -> None:
    incident = INCIDENTS[name]
    parts = {"root": root(view(incident)), "timeline": timeline(view(incident))}
    if incident.alarms > 1:
        parts["alarm"] = alarm(view(incident))
    text = "\n".join(f"--- {part}\n{shown(message)}" for part, message in parts.items())
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("DRIFTD_SNAPSHOTS") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", INCIDENTS)
def test_message_keeps_to_slacks_limits_and_ours(name: str) -> None:
    incident = INCIDENTS[name]
    for message in (root(view(incident)), timeline(view(incident))):
        assert 0 < len(message.text) <= 120
        assert len(message.blocks) <= 50
        for block in message.blocks:
            for text in _texts(block):
                assert 0 < len(text["text"]) <= (150 if block["type"] == "header" else 3000)
    # At most nine lines, where one is what a wide screen shows as one; the push is not among them.
    assert len(shown(root(view(incident))).splitlines()) - 1 <= 9
    if not incident.open:
        assert len(root(view(incident)).blocks) == 2


def test_text_from_messages_cannot_forge_markup() -> None:
    incident = INCIDENTS["forged"]
    for message in (root(view(incident)), timeline(view(incident))):
        text = message.text + "".join(text["text"] for block in message.blocks for text in _texts(block))
        # The only mention and the only link are our own.
        assert text.count("<!") == text.count("<!subteam^S0123>") <= 1
        assert "<@" not in text
        assert text.count("<http") == text.count("<https://wiki.example/flight-delay|Runbook>")
        own = ("*Mean prediction 7.1 → 18.4.*", "*Timeline*", f"`driftd explain {incident.id}`")
        assert not re.search(r"[*`~]", re.sub("|".join(map(re.escape, own)), "", text))
        assert ":rotating_light:" not in text


def _texts(block: dict[str, Any]) -> list[dict[str, Any]]:
    return list(block["elements"]) if block["type"] == "context" else [block["text"]]
