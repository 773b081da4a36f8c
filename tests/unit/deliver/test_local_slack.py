"""The local Slack refuses what Slack refuses, and shows a thread as it would look."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from deploy.slack.local import Fault, LocalSlack, to_html

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "*4 &gt; 3* <https://a.example|here> `code`"}}


@pytest.fixture
def slack() -> Iterator[LocalSlack]:
    with LocalSlack(channels=["#ml"]) as slack:
        yield slack


@pytest.fixture
def client(slack: LocalSlack) -> WebClient:
    return WebClient(token=slack.token, base_url=slack.url, retry_handlers=[])


def refused(client: WebClient, method: str, **arguments: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        client.api_call(method, json=arguments)
    return str(caught.value.response["error"])


def test_refusals(slack: LocalSlack, client: WebClient) -> None:
    long = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}
    header = {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}
    assert refused(client, "chat.postMessage", channel="#nowhere", text="x") == "channel_not_found"
    assert refused(client, "chat.postMessage", channel="#ml") == "no_text"
    assert refused(client, "chat.postMessage", channel="#ml", text="x", blocks=[long]) == "invalid_blocks"
    assert refused(client, "chat.postMessage", channel="#ml", text="x", blocks=[header]) == "invalid_blocks"
    assert refused(client, "chat.postMessage", channel="#ml", text="x", blocks=[SECTION] * 51) == "invalid_blocks"
    assert refused(client, "chat.postMessage", channel="#ml", text="x", metadata={"a": 1}) == "invalid_metadata_format"
    assert refused(client, "chat.postMessage", channel="#ml", text="x", thread_ts="1.0") == "thread_not_found"
    assert refused(client, "chat.update", channel="#ml", ts="1.0", text="x") == "channel_not_found"
    assert refused(client, "chat.update", channel="C00000001", ts="1.0", text="x") == "message_not_found"
    assert refused(client, "chat.sing") == "unknown_method"
    slack.archive("#ml")
    assert refused(client, "chat.postMessage", channel="#ml", text="x") == "is_archived"
    client.token = "xoxb-wrong"
    assert refused(client, "auth.test") == "invalid_auth"
    client.token = None
    assert refused(client, "auth.test") == "not_authed"


def test_metadata_is_found_in_history_and_replies(slack: LocalSlack, client: WebClient) -> None:
    metadata = {"event_type": "driftd", "event_payload": {"incident": "inc-1"}}
    root = client.chat_postMessage(channel="#ml", text="root", metadata=metadata)
    for number in range(3):
        client.chat_postMessage(channel="#ml", text=f"reply {number}", thread_ts=root["ts"], metadata=metadata)
    history = client.conversations_history(channel=root["channel"], include_all_metadata=True)
    assert [message["metadata"] for message in history["messages"]] == [metadata]
    plain = client.conversations_history(channel=root["channel"])
    assert "metadata" not in plain["messages"][0]
    pages = client.conversations_replies(channel=root["channel"], ts=root["ts"], limit=3, include_all_metadata=True)
    assert [len(page["messages"]) for page in pages] == [3, 1]
    (thread,) = slack.threads()
    assert [reply.content.text for reply in thread.replies] == ["reply 0", "reply 1", "reply 2"]


def test_an_edit_keeps_what_was_said_before(slack: LocalSlack, client: WebClient) -> None:
    root = client.chat_postMessage(channel="#ml", text="one", blocks=[SECTION])
    client.chat_update(channel=root["channel"], ts=root["ts"], text="two")
    (thread,) = slack.threads()
    assert (thread.root.content.text, [content.text for content in thread.root.earlier]) == ("two", ["one"])


def test_post_interval_turns_away_with_retry_after() -> None:
    now = [1000.0]
    with LocalSlack(post_interval=1.0, clock=lambda: now[0]) as slack:
        client = WebClient(token=slack.token, base_url=slack.url, retry_handlers=[])
        client.chat_postMessage(channel="#any", text="one")
        client.chat_postMessage(channel="#other", text="one")
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="#any", text="two")
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "1"
        now[0] += 1
        client.chat_postMessage(channel="#any", text="two")
        assert [thread.root.content.text for thread in slack.threads()] == ["one", "one", "two"]


@pytest.mark.parametrize(("fault", "arrives"), [(Fault.RESET, False), (Fault.DONE_THEN_RESET, True)])
def test_a_broken_connection(slack: LocalSlack, client: WebClient, fault: Fault, arrives: bool) -> None:
    slack.fail_next(fault, method="chat.postMessage")
    with pytest.raises(ConnectionError):
        client.chat_postMessage(channel="#ml", text="x")
    assert len(slack.threads()) == arrives


def test_a_thread_looks_like_slacks_and_fetches_nothing(slack: LocalSlack, client: WebClient) -> None:
    header = {"type": "header", "text": {"type": "plain_text", "text": "<script>"}}
    root = client.chat_postMessage(channel="#ml", text="x", blocks=[header, SECTION])
    client.chat_postMessage(channel="#ml", text="for <!subteam^S1>", thread_ts=root["ts"], reply_broadcast=True)
    html = to_html(slack.threads(), names={"S1": "oncall"})
    assert "<script>" not in html
    assert '<b>4 &gt; 3</b> <a href="https://a.example">here</a> <code>code</code>' in html
    assert "@oncall" in html
    assert not re.search(r'(src|@import|url\()\s*=?\s*["\']?(https?:)?//', html)

    printed = io.StringIO()
    slack.print_threads(printed, width=60)
    assert "4 > 3 here code" in printed.getvalue()
    assert "also sent to the channel" in printed.getvalue()
