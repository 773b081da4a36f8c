"""Threads as one self-contained page that looks like Slack: system fonts, nothing fetched, fit for narrow screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from deploy.slack.mrkdwn import Piece, pieces
from deploy.slack.thread import Block, Message, Thread

_STYLE = """
*{box-sizing:border-box}
body{margin:0;background:#fff;color:#1d1c1d;font:15px/1.46668 Lato,-apple-system,BlinkMacSystemFont,"Segoe UI",
 Roboto,"Helvetica Neue",Arial,"Liberation Sans","Noto Color Emoji",sans-serif;-webkit-font-smoothing:antialiased}
main{max-width:760px;margin:0 auto;padding:0 0 16px}
.channel{font-size:18px;font-weight:900;padding:12px 20px;border-bottom:1px solid #e3e3e3;margin-bottom:12px}
.channel:not(:first-child){border-top:1px solid #e3e3e3;margin-top:20px}
.message{display:flex;gap:8px;padding:8px 20px}
.avatar{flex:none;width:36px;height:36px;border-radius:8px}
.body{min-width:0;flex:1}
.who{font-weight:900}
.app{background:#ececec;border-radius:2px;color:#616061;font-size:10px;font-weight:700;padding:1px 3px;
 margin:0 6px 0 4px;vertical-align:1px}
.time,.edited{color:#616061;font-size:12px}
.header{font-size:18px;font-weight:900;line-height:1.33;margin:2px 0 4px;overflow-wrap:anywhere}
.section{white-space:pre-line;overflow-wrap:anywhere;margin:4px 0}
.context{color:#616061;font-size:13px;line-height:1.38;margin:4px 0;overflow-wrap:anywhere}
code{border:1px solid #ddd;border-radius:3px;background:#f8f8f8;color:#c01343;padding:2px 3px 1px;
 font:12px/1.5 Monaco,Menlo,Consolas,"Liberation Mono",monospace;white-space:nowrap}
a{color:#1264a3;text-decoration:none}
.mention{background:#f2c74466;border-radius:3px;color:#1264a3;padding:0 2px 1px}
.thread{margin:0 20px 8px 64px;border-left:2px solid #e3e3e3}
.thread .message{padding:6px 0 6px 12px}
.thread .avatar{width:24px;height:24px;border-radius:5px}
.count{color:#1264a3;font-size:13px;font-weight:700;padding:2px 12px}
.broadcast{color:#616061;font-size:12px}
@media (max-width:520px){
 .message{padding:8px 12px}.channel{padding:10px 12px}.thread{margin:0 12px 8px 28px}
 .header{font-size:17px}
}
"""

_AVATAR = (
    '<svg class="avatar" viewBox="0 0 36 36" role="img" aria-label="driftd">'
    '<rect width="36" height="36" fill="#24506b"/>'
    '<path d="M5 25C10 25 11 12 15 12s5 13 9 13" fill="none" stroke="#8fb7cc" stroke-width="2.6"/>'
    '<path d="M12 25c5 0 6-15 10-15s5 15 9 15" fill="none" stroke="#ffb84d" stroke-width="2.6"/></svg>'
)


def to_html(threads: Sequence[Thread], *, names: Mapping[str, str] | None = None, title: str = "driftd") -> str:
    """A page with the threads under their channels; `names` say what users and user groups are called."""
    parts, channel = [], None
    for thread in threads:
        if thread.channel != channel:
            channel = thread.channel
            parts.append(f'<div class="channel">{escape(channel)}</div>')
        parts.append(_message(thread.root, names or {}))
        if thread.replies:
            count = len(thread.replies)
            replies = "".join(_message(reply, names or {}) for reply in thread.replies)
            plural = "reply" if count == 1 else "replies"
            parts.append(f'<div class="thread"><div class="count">{count} {plural}</div>{replies}</div>')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _message(message: Message, names: Mapping[str, str]) -> str:
    moment = datetime.fromtimestamp(float(message.ts), UTC)
    blocks = "".join(_block(block, names) for block in message.content.blocks)
    if not blocks:
        blocks = f'<div class="section">{_mrkdwn(message.content.text, names)}</div>'
    edited = ' <span class="edited">(edited)</span>' if message.edited else ""
    broadcast = '<div class="broadcast">also sent to the channel</div>' if message.broadcast else ""
    return (
        f'<div class="message">{_AVATAR}<div class="body"><div><span class="who">driftd</span>'
        f'<span class="app">APP</span><span class="time">{moment:%H:%M}</span>{edited}</div>'
        f"{broadcast}{blocks}</div></div>"
    )


def _block(block: Block, names: Mapping[str, str]) -> str:
    if block["type"] == "header":
        text = str(block["text"]["text"]).replace("\u2060", "")
        return f'<div class="header">{escape(text)}</div>'
    if block["type"] == "context":
        inner = "".join(f"<span>{_mrkdwn(element['text'], names)}</span>" for element in block["elements"])
        return f'<div class="context">{inner}</div>'
    return f'<div class="section">{_mrkdwn(block["text"]["text"], names)}</div>'


def _mrkdwn(text: str, names: Mapping[str, str]) -> str:
    return "".join(_piece(piece) for piece in pieces(text, dict(names)))


def _piece(piece: Piece) -> str:
    text = escape(piece.text)
    match piece.kind:
        case "bold":
            return f"<b>{text}</b>"
        case "italic":
            return f"<i>{text}</i>"
        case "strike":
            return f"<s>{text}</s>"
        case "code":
            return f"<code>{text}</code>"
        case "link":
            return f'<a href="{escape(piece.url, quote=True)}">{text}</a>'
        case "mention":
            return f'<span class="mention">{text}</span>'
        case _:
            return text
