"""A stand-in for Slack's Web API on this machine: it behaves, and misbehaves, like Slack.

with LocalSlack(channels=["#ml-delays"]) as slack:
    settings = {"bot_token": slack.token, "api_url": slack.url}
    slack.fail_next(Fault.RATE_LIMITED, retry_after=3)
    ...
    slack.print_threads(sys.stdout)
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, TextIO
from urllib.parse import parse_qs

from deploy.slack.page import to_html
from deploy.slack.rules import refusal
from deploy.slack.terminal import print_threads
from deploy.slack.thread import Content, Message, Thread

__all__ = ["Call", "Fault", "LocalSlack", "Message", "Thread", "print_threads", "to_html"]


class Fault(StrEnum):
    """What can go wrong with a call beside Slack's own error codes."""

    RATE_LIMITED = "rate_limited"
    """429 with Retry-After; the call does nothing."""
    SERVER_ERROR = "server_error"
    """500; the call does nothing."""
    HANG = "hang"
    """The call is done and its answer never comes: the client's time-out ends it."""
    RESET = "reset"
    """The call does nothing and the connection is reset."""
    DONE_THEN_RESET = "done_then_reset"
    """The call is done and the connection is reset before the answer."""
    NOT_JSON = "not_json"
    """200 with a page of a proxy; the call does nothing."""
    EMPTY = "empty"
    """200 without a body; the call does nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that arrived: its method, its arguments, and what it got ("ok", an error code or a fault)."""

    method: str
    arguments: dict[str, Any]
    answer: str


@dataclass(slots=True)
class _Trouble:
    what: str
    method: str | None
    left: int
    retry_after: int


@dataclass(frozen=True, slots=True)
class _Answer:
    body: dict[str, Any]
    fault: Fault | None = None
    retry_after: int = 0


class LocalSlack:
    """Slack's Web API on 127.0.0.1, for one bot; a context manager.

    `channels` are those that exist and that the bot is in; None: every channel that is named does. With
    `post_interval` (seconds) a channel takes one post in that time and answers 429 to more, as Slack does.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        token: str = "xoxb-local",
        channels: Iterable[str] | None = None,
        post_interval: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.calls: list[Call] = []
        self._open = channels is None
        self._channels: dict[str, str] = {}
        for channel in channels or ():
            self._add_channel(channel)
        self._archived: set[str] = set()
        self._messages: list[Message] = []
        self._troubles: list[_Trouble] = []
        self._post_interval = post_interval
        self._posted: dict[str, float] = {}
        self._clock = clock
        self._last_ts = 0
        self._lock = threading.RLock()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, name="local-slack", daemon=True)

    def __enter__(self) -> LocalSlack:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """What `slack.api_url` is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/api/"

    def fail_next(self, what: Fault | str, *, method: str | None = None, times: int = 1, retry_after: int = 1) -> None:
        """Let the next calls (of one method) fail: by a Fault, or with an error code such as `invalid_auth`."""
        with self._lock:
            self._troubles.append(_Trouble(what, method, times, retry_after))

    def recover(self) -> None:
        """Forget every failure that was asked for and did not come yet; calls that hang end."""
        with self._lock:
            self._troubles.clear()
            self._released.set()
            self._released = threading.Event()

    def archive(self, channel: str, archived: bool = True) -> None:
        """Archive a channel, or bring it back."""
        number = self._channels[channel.removeprefix("#")]
        (self._archived.add if archived else self._archived.discard)(number)

    def delete(self, message: Message) -> None:
        """Delete a message, as a person with the right to do so."""
        message.deleted = True

    def threads(self) -> list[Thread]:
        """Every thread, oldest first; what was deleted is not there."""
        with self._lock:
            alive = [message for message in self._messages if not message.deleted]
            names = {number: f"#{name}" for name, number in self._channels.items()}
            return [
                Thread(
                    names[root.channel],
                    replace(root, earlier=list(root.earlier)),
                    tuple(
                        replace(m, earlier=list(m.earlier))
                        for m in alive
                        if m.thread_ts == root.ts and m.channel == root.channel
                    ),
                )
                for root in alive
                if root.thread_ts is None
            ]

    def print_threads(self, file: TextIO, *, width: int | None = None) -> None:
        """Print every thread as a person sees it."""
        print_threads(self.threads(), file, width=width)

    def answer(self, method: str, arguments: dict[str, Any], token: str | None) -> _Answer:
        """What a call gets; the whole of it happens at once."""
        with self._lock:
            trouble = self._trouble(method)
            fault = Fault(trouble.what) if trouble is not None and trouble.what in set(Fault) else None
            if trouble is not None and fault not in (Fault.HANG, Fault.DONE_THEN_RESET):
                body = {"ok": False, "error": "ratelimited" if fault is Fault.RATE_LIMITED else trouble.what}
                if trouble.what == "missing_scope":
                    body |= {"needed": "chat:write", "provided": "identify"}
                answer = _Answer(body, fault, trouble.retry_after)
            else:
                answer = _Answer(self._carried_out(method, arguments, token), fault)
                if answer.body.get("error") == "ratelimited":
                    answer = replace(answer, fault=Fault.RATE_LIMITED, retry_after=1)
            said = answer.fault or ("ok" if answer.body["ok"] else answer.body["error"])
            self.calls.append(Call(method, arguments, str(said)))
            return answer

    def hang(self) -> None:
        """Keep a call waiting until it is released."""
        self._released.wait(60)

    def _trouble(self, method: str) -> _Trouble | None:
        for trouble in self._troubles:
            if trouble.method in (None, method):
                trouble.left -= 1
                if trouble.left <= 0:
                    self._troubles.remove(trouble)
                return trouble
        return None

    def _carried_out(self, method: str, arguments: dict[str, Any], token: str | None) -> dict[str, Any]:
        if token is None:
            return _error("not_authed")
        if token != self.token:
            return _error("invalid_auth")
        known = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.join": self._join,
            "conversations.list": self._list,
            "conversations.replies": self._replies,
        }
        return known[method](arguments) if method in known else _error("unknown_method")

    def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "user": "driftd", "user_id": "U0DRIFTD", "team": "Local", "team_id": "T0LOCAL"}

    def _post(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(arguments.get("channel"))
        if channel is None:
            return _error("channel_not_found")
        if channel in self._archived:
            return _error("is_archived")
        if code := refusal(arguments):
            return _error(code)
        thread_ts = arguments.get("thread_ts")
        if thread_ts is not None and self._message(channel, thread_ts) is None:
            return _error("thread_not_found")
        now = self._clock()
        if now - self._posted.get(channel, -1e9) < self._post_interval:
            return _error("ratelimited")
        self._posted[channel] = now
        self._last_ts = max(self._last_ts + 1, int(now * 1_000_000))
        message = Message(
            channel=channel,
            ts=f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}",
            content=_content(arguments),
            thread_ts=thread_ts,
            broadcast=bool(arguments.get("reply_broadcast")),
        )
        self._messages.append(message)
        return {"ok": True, "channel": channel, "ts": message.ts, "message": _shown(message, metadata=True)}

    def _update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        # A name will not do here, as in Slack.
        channel = arguments.get("channel")
        if channel not in self._channels.values():
            return _error("channel_not_found")
        if channel in self._archived:
            return _error("is_archived")
        message = self._message(str(channel), arguments.get("ts"))
        if message is None:
            return _error("message_not_found")
        if code := refusal(arguments):
            return _error(code)
        content = _content(arguments)
        if content.metadata is None:
            content = replace(content, metadata=message.content.metadata)
        message.earlier.append(message.content)
        message.content = content
        return {"ok": True, "channel": channel, "ts": message.ts, "text": content.text}

    def _history(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel = arguments.get("channel")
        if channel not in self._channels.values():
            return _error("channel_not_found")
        oldest = float(arguments.get("oldest") or 0)
        found = [
            message
            for message in reversed(self._messages)
            if message.channel == channel
            and not message.deleted
            and (message.thread_ts is None or message.broadcast)
            and float(message.ts) > oldest
        ]
        return _page(found, arguments)

    def _replies(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel = arguments.get("channel")
        if channel not in self._channels.values():
            return _error("channel_not_found")
        root = self._message(str(channel), arguments.get("ts"))
        if root is None:
            return _error("thread_not_found")
        replies = [m for m in self._messages if m.channel == channel and m.thread_ts == root.ts and not m.deleted]
        return _page([root, *replies], arguments)

    def _join(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(arguments.get("channel"))
        return _error("channel_not_found") if channel is None else {"ok": True, "channel": {"id": channel}}

    def _list(self, arguments: dict[str, Any]) -> dict[str, Any]:
        hidden = self._archived if arguments.get("exclude_archived") in ("1", "true", True) else set()
        found = [
            {"id": number, "name": name, "is_member": True, "is_archived": number in self._archived}
            for name, number in self._channels.items()
            if number not in hidden
        ]
        start, limit = int(arguments.get("cursor") or 0), int(arguments.get("limit") or 100)
        cursor = str(start + limit) if start + limit < len(found) else ""
        return {
            "ok": True,
            "channels": found[start : start + limit],
            "response_metadata": {"next_cursor": cursor},
        }

    def _message(self, channel: str, ts: Any) -> Message | None:
        for message in self._messages:
            if message.channel == channel and message.ts == ts and not message.deleted:
                return message
        return None

    def _channel(self, name: Any) -> str | None:
        """The id of a channel that is named by its id or its name."""
        if not isinstance(name, str) or not name:
            return None
        if name in self._channels.values():
            return name
        bare = name.removeprefix("#")
        if bare not in self._channels and self._open:
            self._add_channel(bare)
        return self._channels.get(bare)

    def _add_channel(self, name: str) -> None:
        self._channels[name.removeprefix("#")] = f"C{len(self._channels) + 1:08d}"


def _error(code: str) -> dict[str, Any]:
    return {"ok": False, "error": code}


def _content(arguments: dict[str, Any]) -> Content:
    return Content(str(arguments.get("text") or ""), tuple(arguments.get("blocks") or ()), arguments.get("metadata"))


def _shown(message: Message, *, metadata: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": "message",
        "ts": message.ts,
        "text": message.content.text,
        "blocks": list(message.content.blocks),
        "bot_id": "B0DRIFTD",
    }
    if message.thread_ts is not None:
        shown["thread_ts"] = message.thread_ts
    if metadata and message.content.metadata is not None:
        shown["metadata"] = message.content.metadata
    return shown


def _page(found: list[Message], arguments: dict[str, Any]) -> dict[str, Any]:
    metadata = arguments.get("include_all_metadata") in ("1", "true", True)
    start, limit = int(arguments.get("cursor") or 0), int(arguments.get("limit") or 100)
    more = start + limit < len(found)
    return {
        "ok": True,
        "messages": [_shown(message, metadata=metadata) for message in found[start : start + limit]],
        "has_more": more,
        "response_metadata": {"next_cursor": str(start + limit) if more else ""},
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A stand-in that was just stopped must not keep its port from the next one.
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], slack: LocalSlack) -> None:
        self.slack = slack
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        slack = self.server.slack
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        kind, _, value = (self.headers.get("Authorization") or "").partition(" ")
        answer = slack.answer(
            self.path.partition("?")[0].removeprefix("/api/"),
            _arguments(body, self.headers.get("Content-Type") or ""),
            value if kind == "Bearer" and value else None,
        )
        match answer.fault:
            case Fault.HANG:
                slack.hang()
                self.close_connection = True
            case Fault.RESET | Fault.DONE_THEN_RESET:
                # With a linger of zero the kernel sends RST in place of FIN.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
            case Fault.NOT_JSON:
                self._send(200, b"<html><body>Please log in to the proxy</body></html>", "text/html; charset=utf-8")
            case Fault.EMPTY:
                self._send(200, b"", "application/json; charset=utf-8")
            case Fault.SERVER_ERROR:
                self._send(500, b"upstream error", "text/plain; charset=utf-8")
            case Fault.RATE_LIMITED:
                self._send(429, json.dumps(answer.body).encode(), "application/json; charset=utf-8", answer.retry_after)
            case None:
                self._send(200, json.dumps(answer.body).encode(), "application/json; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str, retry_after: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the calls are kept in `LocalSlack.calls`."""


def _arguments(body: str, content_type: str) -> dict[str, Any]:
    """The arguments of a call, sent as JSON or as a form."""
    if content_type.startswith("application/json"):
        decoded = json.loads(body or "{}")
        return decoded if isinstance(decoded, dict) else {}
    return {name: values[-1] for name, values in parse_qs(body, keep_blank_values=True).items()}
