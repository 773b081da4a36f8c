"""Slack's mrkdwn, taken apart into pieces that a terminal and a page can show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Literal

Kind = Literal["text", "bold", "italic", "strike", "code", "link", "mention"]

_PIECES = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|<(?P<link>https?://[^|>]+)(?:\|(?P<label>[^>]*))?>"
    r"|<!subteam\^(?P<group>[A-Z0-9]+)(?:\|[^>]*)?>|<@(?P<user>[A-Z0-9]+)>|<!(?P<all>here|channel|everyone)>"
    r"|(?<![\w*])\*(?P<bold>[^*\n]+)\*(?![\w*])"
    r"|(?<![\w_])_(?P<italic>[^_\n]+)_(?![\w_])"
    r"|(?<![\w~])~(?P<strike>[^~\n]+)~(?![\w~])"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text in one style; `url` only for a link."""

    kind: Kind
    text: str
    url: str = ""


def pieces(text: str, names: dict[str, str] | None = None) -> list[Piece]:
    """The pieces of a mrkdwn text; `names` say what users and groups are called.

    >>> pieces("*4 &gt; 3* now")
    [Piece(kind='bold', text='4 > 3', url=''), Piece(kind='text', text=' now', url='')]
    """
    found, end = [], 0
    for match in _PIECES.finditer(text):
        found.append(Piece("text", _plain(text[end : match.start()])))
        found.append(_piece(match, names or {}))
        end = match.end()
    found.append(Piece("text", _plain(text[end:])))
    return [piece for piece in found if piece.text]


def _piece(match: re.Match[str], names: dict[str, str]) -> Piece:
    if match["code"] is not None:
        return Piece("code", _plain(match["code"]))
    if match["link"] is not None:
        return Piece("link", _plain(match["label"] or match["link"]), unescape(match["link"]))
    for who in (match["group"], match["user"], match["all"]):
        if who is not None:
            return Piece("mention", "@" + names.get(who, who))
    if match["bold"] is not None:
        return Piece("bold", _plain(match["bold"]))
    return Piece("italic", _plain(match["italic"])) if match["italic"] else Piece("strike", _plain(match["strike"]))


def _plain(text: str) -> str:
    return unescape(text).replace("\u2060", "")
