"""Slack: one root an incident, edited in place, one timeline reply, and a new reply where someone must look."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from daemon import crashpoints
from daemon.config.settings import Receiver as ReceiverSettings
from daemon.config.settings import Settings, SlackReceiver
from daemon.deliver import messages
from daemon.deliver.messages import Message
from daemon.deliver.receiver import SECOND, Busy, Delivery, DeliveryError, Refused, Unanswered, receiver
from daemon.incidents.grouping import ChangeKind
from daemon.incidents.incident import State
from daemon.store.outbox import Receipt
from detectors.instants import MINUTE, Micros

# The client reports each failure as an error of its own; the sender says it once, in words.
_quiet = logging.getLogger(f"{__name__}.client")
_quiet.setLevel(logging.CRITICAL)

TIMEOUT_SECONDS = 10
EVENT_TYPE = "driftd"
ROOT, TIMELINE, TOLD = "root", "timeline", "told"
"""Parts of a lane. TOLD is no message: its revision is the newest that people have been alarmed about."""

# What only a person can put right, in words. {channel} is the address as configured.
REFUSALS: dict[str, str] = {
    "account_inactive": "the bot's account is deactivated; install the app again and give driftd its new token",
    "invalid_auth": "the token is not valid; check slack.bot_token",
    "is_archived": "{channel} is archived; unarchive it or name another channel",
    "channel_not_found": "there is no channel {channel} that the bot can see; create it, or invite the bot",
    "missing_scope": "the token lacks the scope {needed}; add it to the app and install the app again",
    "not_authed": "no token was sent; check slack.bot_token",
    "not_in_channel": "the bot is not in {channel}; say /invite @driftd there",
    "restricted_action": "a workspace setting keeps the bot from posting in {channel}",
    "token_expired": "the token has expired; give driftd a new one",
    "token_revoked": "the token was revoked; install the app again and give driftd its new token",
}
OF_THE_TOKEN = frozenset(
    {"account_inactive", "invalid_auth", "missing_scope", "not_authed", "token_expired", "token_revoked"}
)
_GONE = frozenset({"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"})
_PASSING = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable", "team_added_to_org"})


class Gone(Exception):
    """The message to edit or to reply to no longer exists."""


class SlackChannel:
    """One channel, reached by one bot."""

    service = "slack"
    interval: Micros = SECOND

    def __init__(self, client: WebClient, channel: str, installation: str, mention: str | None = None) -> None:
        self.place = f"slack:{channel}"
        self._client = client
        self._channel = channel
        self._installation = installation
        self._mention = mention
        self._id: str | None = None

    def mention(self) -> str | None:
        return self._mention

    def deliver(self, delivery: Delivery) -> None:
        """Bring root and timeline to the incident's newest revision, and alarm when the row asks for it."""
        try:
            self._bring(delivery, delivery.receipts)
        except Gone:
            # Someone deleted the root, or it is not this bot's to edit: the whole thread is posted anew.
            try:
                self._bring(delivery, {}, anew=True)
            except Gone as error:
                raise Unanswered(f"Slack loses messages as soon as they are posted ({error}).") from None

    def _bring(self, delivery: Delivery, receipts: Mapping[str, Receipt], *, anew: bool = False) -> None:
        incident = delivery.view.incident
        root, told = receipts.get(ROOT), receipts.get(TOLD)
        if root is None:
            # Before the root, so that a death in between cannot let a reply repeat what the root says.
            told = delivery.save(TOLD, "", "", incident.revision)
            root = self._post(delivery, ROOT, messages.root(delivery.view), look=not anew)
        elif root.revision < incident.revision:
            self._edit(delivery, root, messages.root(delivery.view))
        self._timeline(delivery, root, receipts.get(TIMELINE), look=not anew)
        self._alarm(delivery, root, told)

    def _timeline(self, delivery: Delivery, root: Receipt, timeline: Receipt | None, *, look: bool) -> None:
        message = messages.timeline(delivery.view)
        if timeline is not None and timeline.revision < delivery.view.incident.revision:
            try:
                self._edit(delivery, timeline, message)
            except Gone:
                timeline = None
        if timeline is None:
            self._post(delivery, TIMELINE, message, thread=root, look=look)

    def _alarm(self, delivery: Delivery, root: Receipt, told: Receipt | None) -> None:
        """A new reply for a row that someone must look at, unless the root that they saw said it already."""
        row, incident = delivery.row, delivery.view.incident
        alarms = row.kind in (ChangeKind.WORSE, ChangeKind.RELAPSED)
        if not alarms or incident.state is not State.FIRING or (told is not None and told.revision >= row.revision):
            return
        part = f"alarm-{row.revision}"
        if part not in delivery.receipts:
            self._post(delivery, part, messages.alarm(delivery.view), thread=root, broadcast=True)
        delivery.save(TOLD, "", "", incident.revision)

    def _post(
        self,
        delivery: Delivery,
        part: str,
        message: Message,
        *,
        thread: Receipt | None = None,
        broadcast: bool = False,
        look: bool = True,
    ) -> Receipt:
        if look and delivery.doubtful and (found := self._find(delivery, part, thread)) is not None:
            # What was found may show an older revision than the incident has now.
            receipt = delivery.save(part, *found, 0)
            self._edit(delivery, receipt, message)
            return receipt
        arguments: dict[str, Any] = {"channel": self._id or self._channel}
        if thread is not None:
            arguments = {"channel": thread.channel, "thread_ts": thread.ts, "reply_broadcast": broadcast}
        answer = self._call(
            delivery,
            "chat.postMessage",
            arguments
            | self._content(delivery, part, message)
            | {"unfurl_links": False, "unfurl_media": False, "parse": "none", "link_names": False},
        )
        self._id = _text(answer, "channel")
        receipt = delivery.save(part, self._id, _text(answer, "ts"), delivery.view.incident.revision)
        crashpoints.reach("outbox.after_receipt")
        return receipt

    def _edit(self, delivery: Delivery, receipt: Receipt, message: Message) -> None:
        self._call(
            delivery,
            "chat.update",
            {"channel": receipt.channel, "ts": receipt.ts, "parse": "none", "link_names": False}
            | self._content(delivery, receipt.part, message),
        )
        delivery.save(receipt.part, receipt.channel, receipt.ts, delivery.view.incident.revision)
        crashpoints.reach("outbox.after_receipt")

    def _content(self, delivery: Delivery, part: str, message: Message) -> dict[str, Any]:
        payload = self._identity(delivery, part) | {"revision": delivery.view.incident.revision}
        return {
            "text": message.text,
            "blocks": list(message.blocks),
            "metadata": {"event_type": EVENT_TYPE, "event_payload": payload},
        }

    def _identity(self, delivery: Delivery, part: str) -> dict[str, Any]:
        return {"installation": self._installation, "incident": delivery.view.incident.id, "part": part}

    def _find(self, delivery: Delivery, part: str, thread: Receipt | None) -> tuple[str, str] | None:
        """Channel and ts of a message that arrived without leaving a receipt; None where the scope forbids to look."""
        try:
            channel = thread.channel if thread is not None else self._channel_id(delivery)
            if channel is None:
                return None
            method = "conversations.history" if thread is None else "conversations.replies"
            where = {"channel": channel, "include_all_metadata": True, "limit": 200}
            # Slack's clock and ours may differ, and the row may be older than its incident's first attempt by far.
            since = delivery.row.created_at - 10 * MINUTE
            where |= {"oldest": f"{max(0, since) / SECOND:.6f}"} if thread is None else {"ts": thread.ts}
            for message in self._pages(delivery, method, where, "messages"):
                metadata = message.get("metadata") or {}
                payload = metadata.get("event_payload") or {}
                same = self._identity(delivery, part).items() <= payload.items()
                if metadata.get("event_type") == EVENT_TYPE and same:
                    return channel, str(message["ts"])
        except Refused as refused:
            if refused.code not in ("missing_scope", "not_in_channel"):
                raise
        return None

    def _channel_id(self, delivery: Delivery) -> str | None:
        """The channel's id: posting takes a name, looking into a channel does not."""
        if self._id is None and not self._channel.startswith("#"):
            self._id = self._channel
        if self._id is None:
            where = {"exclude_archived": True, "limit": 1000, "types": "public_channel,private_channel"}
            name = self._channel.removeprefix("#")
            for channel in self._pages(delivery, "conversations.list", where, "channels"):
                if channel.get("name") == name:
                    self._id = str(channel["id"])
                    break
        return self._id

    def _pages(self, delivery: Delivery, method: str, where: dict[str, Any], key: str) -> Any:
        cursor = ""
        for _ in range(50):
            answer = self._call(delivery, method, where | ({"cursor": cursor} if cursor else {}), form=True)
            yield from answer.get(key) or []
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    def _call(
        self, delivery: Delivery, method: str, arguments: dict[str, Any], *, form: bool = False
    ) -> dict[str, Any]:
        """One call of the Web API; every failure becomes a DeliveryError or Gone."""
        if not form:
            delivery.pace()
            crashpoints.reach("outbox.before_send")
        try:
            answer = (
                self._client.api_call(method, params=arguments)
                if form
                else self._client.api_call(method, json=arguments)
            )
            data = answer.data
        except SlackApiError as error:
            raise self._judged(error) from None
        except (OSError, SlackClientError, ValueError, AttributeError, EOFError) as error:
            # Also http.client's own: a connection that ended in the middle of an answer.
            raise Unanswered(f"Slack does not answer: {error}", service=True) from None
        if not isinstance(data, dict):
            raise Unanswered("Slack answered something that is not its API.")
        if not form:
            crashpoints.reach("outbox.after_send")
        return data

    def _judged(self, error: SlackApiError) -> DeliveryError | Gone:
        """What an error answer means."""
        response = error.response
        status = int(response.status_code)
        data = response.data if isinstance(response.data, dict) else {}
        code = str(data.get("error") or "")
        if status == 429 or code in ("ratelimited", "rate_limited"):
            return Busy("Slack asks to slow down.", after=_retry_after(dict(response.headers)))
        if status >= 500 or not code or " " in code or code in _PASSING:
            # An answer that is no JSON comes as a sentence in place of a code.
            what = f"status {status}" if status != 200 else "an answer that is no JSON"
            return Unanswered(f"Slack has trouble: {what if not code or ' ' in code else code}.")
        if code in _GONE:
            return Gone(code)
        known = REFUSALS.get(code)
        reason = (known or "the message was not accepted").format(channel=self._channel, needed=data.get("needed", "?"))
        return Refused(f"Slack refuses ({code}): {reason}.", service=code in OF_THE_TOKEN, code=code)


def _text(answer: dict[str, Any], key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str):
        raise Unanswered(f"Slack accepted a message and did not say its {key}.")
    return value


def _retry_after(headers: dict[str, Any]) -> Micros:
    """The time that Slack asks for; 30 s when it does not say."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    if isinstance(value, list):
        value = value[0] if value else None
    try:
        return max(1, int(str(value))) * SECOND
    except ValueError:
        return 30 * SECOND


def client(settings: Settings) -> WebClient:
    """The bot's client; it retries nothing by itself, the outbox does."""
    if settings.slack is None:
        raise ValueError("a Slack receiver needs the section `slack` with a bot_token")
    return WebClient(
        token=settings.slack.bot_token.get_secret_value(),
        base_url=settings.slack.api_url.rstrip("/") + "/",
        timeout=TIMEOUT_SECONDS,
        retry_handlers=[],
        logger=_quiet,
    )


@receiver("slack")
def make(name: str, settings: ReceiverSettings, all_settings: Settings) -> SlackChannel:
    """A channel that is told besides the model's own."""
    assert isinstance(settings, SlackReceiver), name
    return SlackChannel(client(all_settings), settings.channel, all_settings.installation, settings.mention)
