"""The outbox's sender with a real store, against the local Slack: nothing lost, nothing twice, order kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from slack_sdk import WebClient

from daemon.config.settings import Settings
from daemon.deliver import sender as sender_module
from daemon.deliver.receivers.slack import REFUSALS, SlackChannel
from daemon.deliver.receivers.webhook import Webhook
from daemon.deliver.sender import LEASE, Sender, configured
from daemon.incidents.board import Board, Observation, Policy, step
from daemon.incidents.routing import addresses
from daemon.store import incidents, outbox, status
from daemon.store.incidents import StoredIncident
from daemon.store.outbox import Outgoing
from daemon.store.store import Store
from deploy.slack.local import Fault, LocalSlack, Thread
from detectors.findings import Finding
from detectors.instants import HOUR, MINUTE, SECOND, Micros, parse_rfc3339
from tests.unit.deliver.gallery import DEP_DELAY, MAE, MIDNIGHT, PREDICTION, QUIET, quieted

NOON = parse_rfc3339("2026-03-01T12:00:00Z")
DAY_LONG = 24 * HOUR
DRIFT = (PREDICTION, DEP_DELAY, *QUIET)
CALM = (quieted(PREDICTION, current=7.3), quieted(DEP_DELAY), *QUIET)


@dataclass
class Clock:
    """A clock that only the test, and the sender's own waiting, moves."""

    now: Micros = NOON

    def __call__(self) -> Micros:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


def settings_for(slack: LocalSlack, **changes: Any) -> Settings:
    model = {
        "predictions": {"topic": ("flights",)},
        "reference": {"uri": "reference.parquet"},
        "channel": "#ml-delays",
        "mention": "S0123",
        "runbook": "https://wiki.example/flight-delay",
    }
    document: dict[str, Any] = {
        "installation": "prod",
        "kafka": {"bootstrap_servers": ("kafka:9092",)},
        "slack": {"bot_token": slack.token, "api_url": slack.url},
        "models": {"flight-delay": model, "fraud": model | {"channel": "#ml-fraud"}},
    }
    return Settings.model_validate(document | changes)


@dataclass
class Desk:
    """A store, the local Slack, a sender, and models whose incidents move by real steps."""

    store: Store
    slack: LocalSlack
    settings: Settings
    clock: Clock
    sender: Sender
    boards: dict[str, Board] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)

    def see(self, *findings: Finding, model: str = "flight-delay", quality: bool = False) -> None:
        """Observe the next day's window, and store and queue what comes of it in one transaction."""
        day = self.days.get(model, 0)
        self.days[model] = day + (not quality)
        day -= quality
        start = MIDNIGHT + day * DAY_LONG
        observation = Observation("quality" if quality else "drift", start, start + DAY_LONG, findings, rows=930)
        taken = step(self.boards.get(model, Board(model)), observation, Policy(), observation.end)
        self.boards[model] = taken.board
        with self.store.write() as conn:
            for change in taken.changes:
                incident = change.incident
                incidents.save_incident(
                    conn,
                    StoredIncident(
                        incident.id,
                        incident.model,
                        incident.family,
                        incident.state,
                        incident.severity,
                        incident.opened_at,
                        incident.updated_at,
                        incident.resolved_at,
                        incident.revision,
                        incident.to_bytes(),
                    ),
                )
                for address in addresses(self.settings, self.settings.models[model]):
                    key = f"{address}/{incident.id}/{incident.revision}"
                    row = Outgoing(address, incident.id, change.kind, incident.id, incident.revision, key)
                    outbox.put(conn, row, self.clock())

    def open(self, model: str = "flight-delay") -> None:
        self.see(*DRIFT, model=model)
        self.see(*DRIFT, model=model)

    def deliver(self, later: Micros = 0) -> None:
        """Let time pass, then let the sender do all that may go by then."""
        until = self.clock.now + later
        while True:
            self.sender.pump()
            wait = self.sender._soonest()
            if wait > until:
                self.clock.now = max(self.clock.now, until)
                return
            self.clock.now = max(self.clock.now, wait)

    def restart(self) -> None:
        self.sender = Sender(self.store, self.settings, clock=self.clock, sleep=self.clock.sleep)
        with self.store.write() as conn:
            outbox.release_leases(conn)

    def notes(self) -> list[str]:
        with self.store.read() as conn:
            return [note.sentence for note in status.load_notes(conn)]

    def thread(self, channel: str = "#ml-delays") -> Thread:
        """The one thread of a channel."""
        (thread,) = (thread for thread in self.slack.threads() if thread.channel == channel)
        return thread

    def parts(self, channel: str = "#ml-delays") -> list[str]:
        thread = self.thread(channel)
        return [thread.root.part, *(reply.part for reply in thread.replies)]


@pytest.fixture
def slack() -> Iterator[LocalSlack]:
    with LocalSlack(channels=["#ml-delays", "#ml-fraud"]) as slack:
        yield slack


@pytest.fixture
def desk(tmp_path: Path, slack: LocalSlack) -> Iterator[Desk]:
    settings = settings_for(slack)
    clock = Clock()
    with Store.open(tmp_path / "driftd.db", writer=True) as store:
        sender = Sender(store, settings, clock=clock, sleep=clock.sleep)
        yield Desk(store, slack, settings, clock, sender)


def test_an_incident_is_one_root_and_one_timeline_edited_in_place(desk: Desk) -> None:
    # When it opens
    desk.open()
    desk.deliver(later=MINUTE)

    # Then there is one root with a mention, and one reply without
    thread = desk.thread()
    assert desk.parts() == ["root", "timeline"]
    assert thread.root.texts[0] == "🟠 flight-delay · predictions drifted"
    assert "<!subteam^S0123>" in thread.root.texts[-1]
    assert "<!subteam" not in "".join(thread.replies[0].texts)
    assert thread.root.payload["installation"] == "prod"
    assert thread.root.payload["revision"] == 1

    # When it goes on, recovers and ends
    desk.see(*DRIFT)
    desk.deliver(later=MINUTE)
    desk.see(*CALM)
    desk.see(*CALM)
    desk.deliver(later=MINUTE)

    # Then the same two messages were edited
    thread = desk.thread()
    assert desk.parts() == ["root", "timeline"]
    assert thread.root.texts[0] == "🟢 flight-delay · predictions back to usual"
    assert thread.root.edited
    assert thread.replies[0].texts[-1].splitlines()[-1].endswith("Recovered after 5 d.")
    assert len([call for call in desk.slack.calls if call.method == "chat.postMessage"]) == 2
    assert not desk.notes()


def test_rows_that_wait_are_told_as_one(desk: Desk) -> None:
    # Given an incident that opened, went on, began to recover and ended before anything was sent
    desk.open()
    desk.see(*DRIFT)
    desk.see(*CALM)
    desk.see(*CALM)

    desk.deliver(later=MINUTE)

    # Then it is told once, as what it is now
    assert [call.method for call in desk.slack.calls] == ["chat.postMessage", "chat.postMessage"]
    assert desk.thread().root.texts[0].startswith("🟢")


def test_worse_is_a_new_reply_in_the_channel_without_a_mention(desk: Desk) -> None:
    desk.open()
    desk.deliver(later=MINUTE)
    desk.see(MAE, quality=True)
    desk.see(*DRIFT)
    desk.see(MAE, quality=True)
    desk.deliver(later=MINUTE)

    thread = desk.thread()
    assert [part.partition("-")[0] for part in desk.parts()] == ["root", "timeline", "alarm"]
    assert thread.replies[1].broadcast
    assert thread.replies[1].texts == ["🔴 *flight-delay got worse.* MAE 18.9 (usual 11.8, limit 15.0)."]
    assert "🔴" in thread.root.texts[0]


def test_worse_before_the_first_delivery_is_no_reply(desk: Desk) -> None:
    desk.open()
    desk.see(MAE, quality=True)
    desk.see(*DRIFT)
    desk.see(MAE, quality=True)
    desk.deliver(later=MINUTE)
    assert desk.parts() == ["root", "timeline"]


def test_a_relapse_is_a_new_reply(desk: Desk) -> None:
    desk.open()
    desk.see(*CALM)
    desk.deliver(later=MINUTE)
    desk.see(*DRIFT)
    desk.deliver(later=MINUTE)
    assert desk.thread().replies[-1].texts[0].startswith("🟠 *flight-delay: predictions drifted again.*")


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.NOT_JSON, Fault.EMPTY, Fault.RESET])
@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
def test_trouble_on_the_way_loses_nothing(desk: Desk, fault: Fault, method: str) -> None:
    # Given that posting, or editing, meets the fault three times
    desk.open()
    if method == "chat.update":
        desk.deliver(later=MINUTE)
        desk.see(*DRIFT)
    desk.slack.fail_next(fault, method=method, times=3)

    desk.deliver(later=2 * SECOND)
    waited = desk.notes()
    desk.deliver(later=10 * MINUTE)

    # Then status said so meanwhile, and all has arrived once
    assert waited[0].startswith("Slack ")
    assert desk.parts() == ["root", "timeline"]
    assert desk.notes() == []
    assert desk.sender.counts()["slack", "unanswered"] == 3


@pytest.mark.parametrize("part", [0, 1])
def test_what_arrived_without_an_answer_is_found_and_not_repeated(desk: Desk, part: int) -> None:
    desk.open()
    if part:
        # The root arrives, then the timeline's answer is lost.
        original = desk.slack.answer

        def lose_the_second(method: str, arguments: dict[str, Any], token: str | None) -> Any:
            if method == "chat.postMessage" and "thread_ts" in arguments:
                desk.slack.answer = original  # type: ignore[method-assign]
                desk.slack.fail_next(Fault.DONE_THEN_RESET, method=method)
            return original(method, arguments, token)

        desk.slack.answer = lose_the_second  # type: ignore[method-assign]
    else:
        desk.slack.fail_next(Fault.DONE_THEN_RESET, method="chat.postMessage")

    desk.deliver(later=10 * MINUTE)

    assert desk.parts() == ["root", "timeline"]
    posts = [call for call in desk.slack.calls if call.method == "chat.postMessage"]
    assert len(posts) == 2


def test_a_time_out_after_acceptance_is_found_and_not_repeated(desk: Desk) -> None:
    # Given a client that waits for two seconds, and a Slack that accepts and then says nothing
    impatient = WebClient(token=desk.slack.token, base_url=desk.slack.url, timeout=2, retry_handlers=[])
    channel = SlackChannel(impatient, "#ml-delays", "prod")
    desk.sender = Sender(
        desk.store, desk.settings, clock=desk.clock, sleep=desk.clock.sleep, receivers={"slack:#ml-delays": channel}
    )
    desk.slack.fail_next(Fault.HANG, method="chat.postMessage")
    desk.open()

    desk.deliver(later=10 * MINUTE)

    assert desk.parts() == ["root", "timeline"]
    assert desk.sender.counts()["slack", "unanswered"] == 1


def test_without_the_scope_to_look_a_repetition_can_be_recognised(desk: Desk) -> None:
    desk.open()
    desk.slack.fail_next(Fault.DONE_THEN_RESET, method="chat.postMessage")
    desk.slack.fail_next("missing_scope", method="conversations.list")

    desk.deliver(later=10 * MINUTE)

    first, second = (thread.root for thread in desk.slack.threads())
    assert first.payload == second.payload
    assert [len(thread.replies) for thread in desk.slack.threads()] == [0, 1]


def test_retry_after_is_honoured_also_over_a_restart_and_holds_only_its_channel(desk: Desk) -> None:
    # Given a channel that asks for ten minutes
    desk.open()
    desk.slack.fail_next(Fault.RATE_LIMITED, method="chat.postMessage", retry_after=600)
    desk.deliver(later=MINUTE)

    # When driftd restarts, and another model opens an incident
    desk.restart()
    desk.open("fraud")
    desk.see(*DRIFT)
    calls = len(desk.slack.calls)
    desk.deliver(later=8 * MINUTE)

    # Then only the other channel was told
    assert [thread.channel for thread in desk.slack.threads()] == ["#ml-fraud"]
    assert len(desk.slack.calls) == calls + 2
    # And after the ten minutes the first is told, once, as it is now
    desk.deliver(later=2 * MINUTE)
    assert desk.parts() == ["root", "timeline"]
    assert "(3 windows)" in desk.thread().root.texts[1]


@pytest.mark.parametrize("code", [*REFUSALS, "some_new_error"])
def test_what_a_person_must_put_right_waits_and_says_so(desk: Desk, code: str) -> None:
    # Given a Slack that refuses for an hour
    desk.slack.fail_next(code, times=1_000)
    desk.open()
    desk.deliver(later=HOUR)

    # Then nothing is lost, status says what to do, and Slack was asked at most once in five minutes after a while
    with desk.store.read() as conn:
        (row,) = outbox.rows(conn, state=outbox.WAITING)
        assert outbox.oldest_age(conn, desk.clock()) == HOUR
    (note,) = desk.notes()
    assert f"({code})" in note
    assert note == row.last_error
    assert len(desk.slack.calls) < 40

    # When it is put right
    desk.slack.recover()
    desk.deliver(later=6 * MINUTE)

    # Then all arrives and the sentence goes
    assert desk.parts() == ["root", "timeline"]
    assert desk.notes() == []


def test_a_deleted_root_is_posted_anew(desk: Desk) -> None:
    desk.open()
    desk.deliver(later=MINUTE)
    (deleted,) = [message for message in desk.slack._messages if message.thread_ts is None]
    desk.slack.delete(deleted)
    desk.see(*DRIFT)
    desk.deliver(later=MINUTE)

    assert desk.parts() == ["root", "timeline"]
    assert "(3 windows)" in desk.thread().root.texts[1]


def test_a_deleted_timeline_is_posted_anew_in_the_same_thread(desk: Desk) -> None:
    desk.open()
    desk.deliver(later=MINUTE)
    (timeline,) = [message for message in desk.slack._messages if message.part == "timeline"]
    desk.slack.delete(timeline)
    desk.see(*DRIFT)
    desk.deliver(later=MINUTE)
    assert desk.parts() == ["root", "timeline"]


def test_a_receiver_that_is_no_longer_configured_keeps_its_rows(desk: Desk) -> None:
    desk.open()
    desk.sender = Sender(desk.store, desk.settings, clock=desk.clock, receivers={})
    desk.deliver(later=MINUTE)
    assert desk.notes() == ["slack:#ml-delays is no longer configured; its messages wait."]
    desk.restart()
    desk.deliver(later=5 * MINUTE)
    assert desk.parts() == ["root", "timeline"]


def test_one_post_a_second_and_channel(desk: Desk) -> None:
    # Given a Slack that turns away more than one post a second
    with LocalSlack(
        channels=["#ml-delays", "#ml-fraud"], post_interval=0.9, clock=lambda: desk.clock() / SECOND
    ) as slack:
        settings = settings_for(slack)
        models = {f"m{i}": settings.models["flight-delay"] for i in range(5)}
        desk.settings = settings.model_copy(update={"models": models})
        desk.slack = slack
        desk.sender = Sender(desk.store, desk.settings, clock=desk.clock, sleep=desk.clock.sleep)
        for model in models:
            desk.open(model)
        desk.deliver(later=MINUTE)

        # Then it never had to, and the oldest came first
        assert {call.answer for call in slack.calls} == {"ok"}
        assert [thread.root.texts[0].split(" ")[1] for thread in slack.threads()] == list(models)


def test_a_slow_receiver_holds_up_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given one channel that never answers, and a loop that only news can wake
    monkeypatch.setattr(sender_module, "IDLE_SECONDS", 3_600.0)
    stop = threading.Event()
    sender = Sender(desk.store, desk.settings)
    loop = threading.Thread(target=sender.run, args=(stop,))
    desk.slack.fail_next(Fault.HANG, method="chat.postMessage")
    loop.start()
    try:
        desk.open("flight-delay")
        sender.wake()
        assert eventually(lambda: bool(desk.slack.calls))

        # When another channel has something to be told
        desk.open("fraud")
        sender.wake()

        # Then it is told while the first still hangs
        assert eventually(lambda: any(t.channel == "#ml-fraud" and t.replies for t in desk.slack.threads()))
        assert sender.waiting()

        # And the first is told when it answers again, without a repetition
        desk.slack.recover()
        assert sender.drain(30)
        assert desk.parts() == desk.parts("#ml-fraud") == ["root", "timeline"]
    finally:
        stop.set()
        desk.slack.recover()
        sender.wake()
        loop.join()


def test_drain_gives_up_early_when_nothing_can_be_told_in_time(desk: Desk) -> None:
    desk.slack.fail_next("invalid_auth", times=100)
    desk.open()
    slept: list[float] = []
    sender = Sender(desk.store, desk.settings, sleep=slept.append)
    assert not sender.drain(30)
    assert sender.waiting()
    assert slept == []


def test_the_end_of_a_run_does_not_wait_for_what_only_a_person_can_mend(desk: Desk) -> None:
    # Given a token that is not valid, incidents in two channels, and a clock that stands still
    desk.slack.fail_next("invalid_auth", times=100)
    desk.open()
    desk.open("fraud")
    stop = threading.Event()
    loop = threading.Thread(target=desk.sender.run, args=(stop,))
    loop.start()
    try:
        # When the run waits for its last delivery, then it ends although the next attempt lies within its time
        assert not desk.sender.wait_idle(3_600)
        assert desk.sender._soonest() < desk.clock.now + 3_600 * SECOND
        (reason,) = desk.sender.refusals()
        assert "the token is not valid" in reason
    finally:
        stop.set()
        desk.sender.wake()
        loop.join()
    # And what is put right is delivered
    desk.slack.recover()
    desk.deliver(later=10 * MINUTE)
    assert desk.parts() == desk.parts("#ml-fraud") == ["root", "timeline"]
    assert desk.sender.refusals() == []


CHILD = """
import sys
from pathlib import Path
from tests.integration.test_deliver import deliver_in_a_process
deliver_in_a_process(Path(sys.argv[1]), sys.argv[2])
"""


def deliver_in_a_process(path: Path, document: str) -> None:
    """What the child of the next test does: deliver all there is, or die on the way."""
    settings = Settings.model_validate_json(document)
    with Store.open(path, writer=True) as store:
        with store.write() as conn:
            outbox.release_leases(conn)
        assert Sender(store, settings).drain(60)


@pytest.mark.parametrize(
    ("posted", "point", "nth"),
    [
        (False, "before_send", 2),
        (False, "after_send", 1),
        (False, "after_send", 2),
        (False, "after_receipt", 1),
        (True, "after_send", 1),
        (True, "after_receipt", 1),
        (True, "after_delivered", 1),
    ],
)
def test_sigkill_anywhere_loses_and_repeats_nothing(
    tmp_path: Path, slack: LocalSlack, posted: bool, point: str, nth: int
) -> None:
    # Given an incident whose newest revision waits, and one that has or has not been posted before
    path = tmp_path / "driftd.db"
    settings = settings_for(slack)
    document = settings.model_dump(mode="json", by_alias=True)
    document["slack"]["bot_token"] = slack.token

    def run(crash: str | None) -> int:
        environment = os.environ | ({"DRIFTD_CRASH_AT": crash} if crash else {})
        command = [sys.executable, "-c", CHILD, str(path), json.dumps(document)]
        return subprocess.run(command, env=environment, check=False, cwd=Path(__file__).parents[2]).returncode

    with Store.open(path, writer=True) as store:
        clock = Clock()
        desk = Desk(store, slack, settings, clock, Sender(store, settings, clock=clock, sleep=clock.sleep))
        desk.open()
        if posted:
            desk.deliver(later=MINUTE)
        desk.see(*CALM)

    # When the process dies at the point, and is started again
    assert run(f"outbox.{point}:{nth}") == -signal.SIGKILL
    assert run(None) == 0

    # Then each part is there once and says the newest
    thread = desk.thread()
    assert desk.parts() == ["root", "timeline"]
    assert thread.root.texts[0].startswith("🟡")
    assert thread.root.payload["revision"] == thread.replies[0].payload["revision"] == 2


class Hook:
    """A local receiver of webhooks that answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answers: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append(({k.lower(): v for k, v in self.headers.items()}, json.loads(body)))
                self.send_response(hook.answers.pop(0) if hook.answers else 204)
                self.send_header("Retry-After", "120")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?secret=s3cr3t"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


@pytest.mark.parametrize("status_code", [429, 500, 404])
def test_a_webhook_gets_each_change_as_json(desk: Desk, hook: Hook, status_code: int) -> None:
    # Given a model that tells a webhook only
    model = desk.settings.models["flight-delay"].model_copy(update={"channel": None, "receivers": ("pager",)})
    receivers = {"pager": {"type": "webhook", "url": hook.url, "timeout": "5s"}}
    desk.settings = settings_for(desk.slack, receivers=receivers).model_copy(update={"models": {"flight-delay": model}})
    desk.restart()
    hook.answers = [status_code]

    # When an incident opens and ends, and the first answer is not 2xx
    desk.open()
    desk.deliver(later=10 * MINUTE)
    desk.see(*CALM)
    desk.see(*CALM)
    desk.deliver(later=10 * MINUTE)

    # Then each was accepted once, under one key
    documents = [body for _, body in hook.got]
    assert [document["change"] for document in documents] == ["opened", "opened", "recovering"]
    assert documents[-1]["state"] == "resolved"
    keys = [headers["idempotency-key"] for headers, _ in hook.got]
    assert keys[0] == keys[1] != keys[2]
    assert documents[0]["model"] == "flight-delay"
    assert documents[0]["lines"][0]["column"] == "dep_delay"
    assert desk.notes() == []
    with desk.store.read() as conn:
        assert "s3cr3t" not in str(outbox.rows(conn))


def test_a_lease_outlives_what_a_row_can_take() -> None:
    # Two look-ups and three calls of ten seconds each would be the worst.
    assert LEASE >= 2 * 5 * 10 * SECOND


def test_every_address_of_the_settings_has_a_receiver(desk: Desk) -> None:
    receivers = {
        "hook": {"type": "webhook", "url": "https://hook.example"},
        "ops": {"type": "slack", "channel": "#ops", "mention": "U0123"},
    }
    settings = settings_for(desk.slack, receivers=receivers)
    made = configured(settings)
    assert sorted(made) == ["hook", "ops", "slack:#ml-delays", "slack:#ml-fraud"]
    assert isinstance(made["hook"], Webhook)
    assert made["ops"].mention() == "U0123"


def eventually(condition: Callable[[], bool], seconds: float = 180.0) -> bool:
    """Whether the condition comes true; the time is only for a machine that is stuck."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False
