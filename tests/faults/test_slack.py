"""What Slack can do wrong while incidents flow and the daemon is killed: nothing is lost, nothing told twice."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

from daemon.store import outbox
from deploy.slack.local import Fault
from tests.conftest import Broker
from tests.faults import workload
from tests.faults.scenario import Scenario, scenario
from tests.faults.workload import Workload
from tests.support.daemon import wait_until

POST = "chat.postMessage"
HOUR_SECONDS = 3_600


def story(seed: int) -> Workload:
    """The workload without its busy hour: what is counted matters less here."""
    return workload.make(seed, burst=40)


def test_trouble_that_passes_by_itself(kafka: Broker, tmp_path: Path) -> None:
    with scenario(story(41), tmp_path, kafka.bootstrap) as run:
        run.produce(run.workload.drafts)
        for fault in (Fault.SERVER_ERROR, Fault.DONE_THEN_RESET, Fault.RESET, Fault.NOT_JSON, Fault.EMPTY):
            run.slack.fail_next(fault, method=POST)
            run.daemon.start()
            _wait_for(run, fault)
            run.kill(fault)
            run.hurry()
        _finish(run)


def test_slack_asks_for_time_and_gets_it_across_a_death(kafka: Broker, tmp_path: Path) -> None:
    with scenario(story(42), tmp_path, kafka.bootstrap) as run:
        run.produce(run.workload.drafts)
        run.slack.fail_next(Fault.RATE_LIMITED, retry_after=HOUR_SECONDS, times=3)
        run.daemon.start()
        _wait_for(run, Fault.RATE_LIMITED)
        wait_until(lambda: len(_held(run)) == 3, "three channels are left alone for an hour", run.daemon)
        run.kill("while Slack is left alone")
        answered = len(run.slack.calls)
        run.daemon.start()
        wanted = sum(len(expected.incidents()) for expected in run.expected())
        wait_until(lambda: _queued(run) == wanted, "every incident is in the outbox", run.daemon)
        run.kill("while Slack is still left alone")
        assert len(run.slack.calls) == answered
        assert any("slow down" in sentence for sentence in _trouble(run))
        run.hurry()
        _finish(run)


def test_an_answer_that_never_comes_is_looked_up_before_it_is_repeated(kafka: Broker, tmp_path: Path) -> None:
    with scenario(story(43), tmp_path, kafka.bootstrap) as run:
        run.produce(run.workload.drafts)
        run.slack.fail_next(Fault.HANG, method=POST)
        run.daemon.start()
        _wait_for(run, Fault.HANG)
        run.kill("while it waits for Slack's answer")
        run.slack.recover()
        run.slack.fail_next(Fault.HANG, method=POST)
        # This one is not killed: its own time-out ends the wait.
        _finish(run)


def test_what_a_person_has_to_put_right(kafka: Broker, tmp_path: Path) -> None:
    port = _free_port()
    http = {"listen": f"127.0.0.1:{port}"}
    with scenario(story(44), tmp_path, kafka.bootstrap, settings={"http": http}) as run:
        run.produce(run.workload.drafts)
        for code, sentence in (
            ("invalid_auth", "the token is not valid"),
            ("channel_not_found", "there is no channel"),
        ):
            run.slack.fail_next(code, method=POST, times=1_000)
            run.daemon.start()
            _wait_for(run, code)
            wait_until(lambda: any(sentence in said for said in _trouble(run)), "a sentence in status", run.daemon)  # noqa: B023
            wait_until(lambda: _counted(port, "refused") > 0, "the refusal is counted", run.daemon)
            run.kill(code)
            run.slack.recover()
            run.hurry()
        _finish(run)


def test_a_root_that_someone_deleted_is_posted_anew(kafka: Broker, tmp_path: Path) -> None:
    with scenario(story(45), tmp_path, kafka.bootstrap) as run:
        slices = iter(run.workload.slices(10))
        run.feed(iter([next(slices) for _ in range(4)]))
        wait_until(lambda: bool(run.slack.threads()), "an incident is told", run.daemon)
        run.kill("with an open incident")
        run.slack.fail_next("message_not_found", method="chat.update")
        run.run_to_the_end(slices)
        with run.reading() as conn:
            assert outbox.rows(conn, state=outbox.WAITING) == []
        (refused,) = [call for call in run.slack.calls if call.answer == "message_not_found"]
        incident = refused.arguments["metadata"]["event_payload"]["incident"]
        before, anew = [thread for thread in run.slack.threads() if thread.root.payload["incident"] == incident]
        # The one that Slack said was gone stays as it was; the other one tells the end.
        assert before.root.ts == refused.arguments["ts"]
        assert "🟢" in anew.root.content.text
        assert [reply.part for reply in anew.replies] == ["timeline"]


def _finish(run: Scenario) -> None:
    print(run.finish())
    _assert_order(run)


def _assert_order(run: Scenario) -> None:
    """Every part of every incident was told in the order of its revisions."""
    told = defaultdict(list)
    for call in run.slack.calls:
        payload = (call.arguments.get("metadata") or {}).get("event_payload")
        if payload is not None:
            told[payload["incident"], payload["part"]].append(payload["revision"])
    assert all(revisions == sorted(revisions) for revisions in told.values()), dict(told)


def _wait_for(run: Scenario, answer: str) -> None:
    def came() -> bool:
        return any(call.answer == answer for call in run.slack.calls)

    wait_until(came, f"Slack answers {answer}", run.daemon)


def _held(run: Scenario) -> set[str]:
    """The channels whose messages wait for long."""
    later = (time.time() + HOUR_SECONDS / 2) * 1_000_000
    with run.reading() as conn:
        return {row.receiver for row in outbox.rows(conn, state=outbox.WAITING) if row.not_before > later}


def _queued(run: Scenario) -> int:
    """How many incidents have ever been put into the outbox."""
    with run.reading() as conn:
        return len({row.incident for row in outbox.rows(conn)})


def _trouble(run: Scenario) -> list[str]:
    done = run.daemon.ask("status", "--format", "json")
    assert done.returncode == 0, done.stderr
    return [trouble["sentence"] for trouble in json.loads(done.stdout)["trouble"]]


def _counted(port: int, result: str) -> float:
    """What the metrics say about deliveries to Slack with this result."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    wanted = ("driftd_deliveries_total{", 'receiver="slack"', f'result="{result}"')
    return sum(float(line.rpartition(" ")[2]) for line in lines if all(part in line for part in wanted))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
