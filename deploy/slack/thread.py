"""Messages and threads as the local Slack keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says at one time: its push text, its blocks and its metadata."""

    text: str
    blocks: tuple[Block, ...] = ()
    metadata: dict[str, Any] | None = None


@dataclass(slots=True)
class Message:
    """One message; `content` is the newest, `earlier` what it said before each edit, oldest first."""

    channel: str
    ts: str
    content: Content
    thread_ts: str | None = None
    broadcast: bool = False
    earlier: list[Content] = field(default_factory=list)
    deleted: bool = False

    @property
    def edited(self) -> bool:
        return bool(self.earlier)

    @property
    def part(self) -> str:
        """Which part of an incident driftd says that it is: root, timeline, alarm-3."""
        return str(self.payload.get("part", ""))

    @property
    def payload(self) -> dict[str, Any]:
        """The payload of its metadata; empty without one."""
        return dict((self.content.metadata or {}).get("event_payload") or {})

    @property
    def texts(self) -> list[str]:
        """The text of every block, in order; the push text when there is no block."""
        found = []
        for block in self.content.blocks:
            elements = block["elements"] if block["type"] == "context" else [block["text"]]
            found += [str(element["text"]) for element in elements]
        return found or [self.content.text]


@dataclass(frozen=True, slots=True)
class Thread:
    """A root and its replies, in a channel that is named as people name it: `#ml-delays`."""

    channel: str
    root: Message
    replies: tuple[Message, ...] = ()
