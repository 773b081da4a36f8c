"""Threads in a terminal, as a person would see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from deploy.slack.mrkdwn import pieces
from deploy.slack.thread import Block, Message, Thread

STYLES = {
    "text": "",
    "bold": "bold",
    "italic": "italic",
    "strike": "strike",
    "code": "magenta",
    "link": "underline blue",
    "mention": "bold yellow",
}
MAX_WIDTH = 100


def print_threads(threads: Sequence[Thread], file: TextIO, *, width: int | None = None) -> None:
    """Print the threads, one frame each, the replies below their root."""
    console = Console(file=file, width=width, highlight=False, emoji=False, soft_wrap=False)
    width = min(console.width, MAX_WIDTH)
    for thread in threads:
        replies = (Padding(_reply(reply), (1, 0, 0, 2)) for reply in thread.replies)
        parts: list[RenderableType] = [_message(thread.root), *replies]
        console.print(
            Panel(
                Group(*parts),
                title=Text(f"{thread.channel}", style="bold"),
                title_align="left",
                box=ROUNDED,
                border_style="dim",
                padding=(0, 1),
                width=width,
            )
        )


def _reply(message: Message) -> Group:
    label = Text("↳ also sent to the channel" if message.broadcast else "↳ reply", style="dim")
    return Group(label, _message(message))


def _message(message: Message) -> Group:
    blocks = [_block(block) for block in message.content.blocks] or [_mrkdwn(message.content.text)]
    return Group(*blocks)


def _block(block: Block) -> Text:
    if block["type"] == "header":
        return Text(str(block["text"]["text"]).replace("\u2060", ""), style="bold")
    if block["type"] == "context":
        text = Text("  ").join(_mrkdwn(element["text"]) for element in block["elements"])
        text.stylize("dim")
        return text
    return _mrkdwn(block["text"]["text"])


def _mrkdwn(text: str) -> Text:
    shown = Text()
    for piece in pieces(text):
        shown.append(piece.text, style=STYLES[piece.kind])
    return shown
