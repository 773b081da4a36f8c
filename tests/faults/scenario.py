"""A workload on the real broker, the real daemon over it, and what both the store and Slack must hold in the end."""

from __future__ import annotations

import contextlib
import html
import re
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from kafka import KafkaAdminClient, KafkaProducer

from daemon.cli.results import result_json
from daemon.incidents.incident import Incident as StoredIncident
from daemon.store import (
    Connection,
    Store,
    books,
    dead_letters,
    evaluations,
    incidents,
    labels,
    outbox,
    panes,
    specs,
)
from daemon.store.evaluations import Evaluation
from daemon.store.sqlite import is_held
from daemon.stream.spec import Spec
from deploy.slack.local import LocalSlack
from deploy.slack.local import Thread as SlackThread
from detectors.layout import CategoricalLayout, NumericLayout
from detectors.profile import Profile
from detectors.sample import Sample
from tests.faults import workload as story
from tests.faults.model import SAMPLE_ROWS, SECOND, Expected, Incident, Message, Watched
from tests.faults.workload import CHANNELS, PARTITIONS, Draft, Workload
from tests.support.daemon import Daemon, wait_until

MESSAGE_BYTES = 4 << 20
TOLERANCE = 1e-9
END_SECONDS = 300.0


@dataclass
class Compared:
    """How much was held against the reference model."""

    panes: int = 0
    rows: int = 0
    windows: int = 0
    findings: int = 0
    incidents: int = 0
    messages: int = 0

    def __iadd__(self, other: Compared) -> Compared:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def __str__(self) -> str:
        return (
            f"{self.windows} windows, {self.panes} panes, {self.rows} rows, {self.findings} findings, "
            f"{self.incidents} incidents and {self.messages} messages compared"
        )


@dataclass
class Scenario:
    """One workload in topics of its own, one store, one Slack, and the daemon that ties them together."""

    workload: Workload
    folder: Path
    bootstrap: str
    slack: LocalSlack
    topics: Mapping[str, str]
    daemon: Daemon
    store: Path
    sent: list[Message] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    generations: Counter[str] = field(default_factory=Counter)

    # Producing

    def produce(self, drafts: Sequence[Draft]) -> None:
        """Put drafts on the broker, those that are to be aborted in a transaction of their own."""
        run: list[Draft] = []
        for draft in drafts:
            if run and run[-1].aborted != draft.aborted:
                self._send(run)
                run = []
            run.append(draft)
        if run:
            self._send(run)

    def _send(self, drafts: Sequence[Draft]) -> None:
        aborted = drafts[0].aborted
        with _producer(self.bootstrap, transactional=aborted) as producer:
            if aborted:
                producer.init_transactions()
                producer.begin_transaction()
            futures = [
                producer.send(
                    self.topics[draft.topic],
                    key=None if draft.value is not None else b"gone",
                    value=draft.value,
                    headers=list(draft.headers),
                    partition=draft.partition,
                    timestamp_ms=draft.arrival // 1_000,
                )
                for draft in drafts
            ]
            producer.flush()
            for draft, future in zip(drafts, futures, strict=True):
                placed = future.get(timeout=60)
                self.sent.append(
                    Message(
                        topic=placed.topic,
                        partition=placed.partition,
                        offset=placed.offset,
                        timestamp=draft.arrival // 1_000 * 1_000,
                        value=draft.value,
                        headers=draft.headers,
                        aborted=aborted,
                        generation=self.generations[placed.topic],
                    )
                )
            if aborted:
                producer.abort_transaction()

    # Running

    def is_held(self) -> bool:
        """Whether a daemon has the store, or has ended again already."""
        return is_held(self.store) or not self.daemon.running

    def next_offsets(self) -> dict[tuple[str, int], int]:
        """How far the store says that every model has read each partition; nothing before there is a store.

        By SQLite alone: it is asked many times a second, and to open a store is twenty times the work.
        """
        try:
            with contextlib.closing(sqlite3.connect(f"{self.store.as_uri()}?mode=ro", uri=True)) as conn:
                rows = conn.execute(
                    "SELECT topic, partition, MIN(next_offset) FROM positions GROUP BY topic, partition"
                )
                return {(topic, partition): offset for topic, partition, offset in rows}
        except sqlite3.OperationalError:
            return {}

    def is_read(self) -> bool:
        """Whether everything that was produced so far has been counted."""
        ends: dict[tuple[str, int], int] = {}
        for message in self.sent:
            if not message.aborted and message.generation == self.generations[message.topic]:
                place = (message.topic, message.partition)
                ends[place] = max(ends.get(place, 0), message.offset + 1)
        read = self.next_offsets()
        return all(read.get(place, 0) >= end for place, end in ends.items())

    def crash_at(self, point: str, slices: Iterator[list[Draft]], *arguments: str) -> None:
        """Run until the daemon dies at the crash point, with one more slice whenever the last one is counted."""
        self.daemon.start(*arguments, crash_at=point)
        for drafts in slices:
            wait_until(lambda: not self.daemon.running or self.is_read(), "what was produced is counted", self.daemon)
            self.produce(drafts)
            if not self.daemon.running:
                break
        self.daemon.wait()
        assert self.daemon.was_killed, f"it ended with {self.daemon.status} before {point}\n{self.daemon.tail()}"
        self.kills.append(point.partition(":")[0])
        self.daemon.assert_no_orphan()

    def feed(self, slices: Iterator[list[Draft]]) -> None:
        """Run and produce slice after slice, each once the last one is counted; the daemon goes on running."""
        self.daemon.start()
        for drafts in slices:
            self.produce(drafts)
            wait_until(self.is_read, "what was produced is counted", self.daemon)

    def hurry(self) -> None:
        """Move the clock of what waits to be sent: its pauses are over. Only while no daemon runs."""
        assert not self.daemon.running
        with contextlib.closing(sqlite3.connect(self.store)) as conn, conn:
            conn.execute("UPDATE outbox SET not_before = created_at")

    def kill(self, what: str = "random") -> None:
        """SIGKILL the daemon now, wherever it is."""
        assert self.daemon.running, f"it had ended with {self.daemon.status}\n{self.daemon.tail()}"
        self.daemon.kill()
        self.kills.append(what)
        self.daemon.assert_no_orphan()

    def make_anew(self, name: str) -> None:
        """Delete one of the topics with everything in it, and create it again."""
        topic = self.topics[name]
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.delete_topics([topic])
            wait_until(lambda: topic not in admin.list_topics(), f"{topic} is gone")
        create_topics(self.bootstrap, self.topics, [name])
        self.generations[topic] += 1

    def run_to_the_end(self, rest: Iterable[list[Draft]] = (), *, crash_at: str | None = None) -> None:
        """Produce what is left and let the daemon read, judge and tell all of it; it ends by itself."""
        for drafts in rest:
            self.produce(drafts)
        self.daemon.start("--until-end", crash_at=crash_at)
        status = self.daemon.wait(END_SECONDS)
        assert status == 0, f"run --until-end ended with {status}\n{self.daemon.tail()}"
        self.daemon.assert_no_orphan()

    def finish(self, rest: Iterable[list[Draft]] = ()) -> Compared:
        """Run to the end of the data, and hold everything against the reference model."""
        self.run_to_the_end(rest)
        return self.compare()

    # Comparing

    def expected(self) -> list[Expected]:
        """What the reference model makes of everything that was sent."""
        return [
            Expected(model, [m for m in self.sent if m.topic in (*model.topics, *model.label_topics)])
            for model in self.watched()
        ]

    def watched(self) -> list[Watched]:
        """The models as the reference model is told of them."""
        return story.watched(self.workload, self.topics)

    def compare(self) -> Compared:
        """Hold the store, the results and Slack against the reference model; counts and samples to the bit."""
        everything = self.expected()
        compared = self.compare_counts(everything)
        with self.reading() as conn:
            compared += _compare_incidents(conn, everything)
            assert outbox.rows(conn, state=outbox.WAITING) == []
        compared += compare_threads(self.slack.threads(), everything)
        return compared

    def compare_printed(self) -> None:
        """`driftd results --format json` prints what the other comparisons read from the store."""
        with self.reading() as conn:
            stored = [result_json(row) for row in evaluations.results(conn, final_only=True)]
        assert self.daemon.results() == stored

    def compare_counts(self, everything: Sequence[Expected]) -> Compared:
        """What was counted and measured, leaving out what people were told."""
        compared = Compared()
        with self.reading() as conn:
            assert books.check(conn) == []
            for expected in everything:
                _compare_books(conn, expected)
                compared += _compare_panes(conn, expected)
                compared += _compare_windows(conn, expected)
            _compare_dead_letters(conn, everything)
            results = [result_json(row) for row in evaluations.results(conn, final_only=True)]
        for expected in everything:
            compared += _compare_results(results, expected)
        return compared

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """The store, to look into."""
        with contextlib.closing(Store.open(self.store, writer=False)) as store, store.read() as conn:
            yield conn


@contextlib.contextmanager
def _producer(bootstrap: str, *, transactional: bool) -> Iterator[KafkaProducer]:
    # A sequence of its own, for a client that retries must not put a message down twice where a count is exact.
    more: dict[str, Any] = {"transactional_id": uuid.uuid4().hex} if transactional else {}
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        max_request_size=MESSAGE_BYTES,
        linger_ms=5,
        **more,
    )
    try:
        yield producer
    finally:
        producer.close()


@contextlib.contextmanager
def scenario(
    workload: Workload, folder: Path, bootstrap: str, *, settings: Mapping[str, Any] | None = None
) -> Iterator[Scenario]:
    """Topics, a configuration, a Slack and a daemon that is not yet running; nothing of them is left afterwards.

    `settings` are sections of the configuration that take the place of the workload's own.
    """
    stem = uuid.uuid4().hex[:8]
    topics = {name: f"faults.{name}.{stem}" for name in PARTITIONS}
    create_topics(bootstrap, topics)
    with LocalSlack(channels=CHANNELS.values(), token="xoxb-test") as slack:
        document = story.settings(workload, topics, folder=folder, bootstrap=bootstrap, slack_url=slack.url)
        document |= settings or {}
        config = folder / "driftd.yaml"
        config.write_text(yaml.safe_dump(document))
        daemon = Daemon(config, folder / "driftd.log")
        try:
            yield Scenario(workload, folder, bootstrap, slack, topics, daemon, Path(document["store"]["path"]))
        finally:
            daemon.end()
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.delete_topics(list(topics.values()))


def create_topics(bootstrap: str, topics: Mapping[str, str], names: Sequence[str] = tuple(PARTITIONS)) -> None:
    """Make the workload's topics on the broker and wait until they have leaders."""
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.create_topics(
            {
                topics[name]: {
                    "num_partitions": PARTITIONS[name],
                    "replication_factor": 1,
                    "configs": {"max.message.bytes": str(MESSAGE_BYTES)},
                }
                for name in names
            },
            wait_for_metadata=True,
        )


def _compare_books(conn: Any, expected: Expected) -> None:
    found = books.books(conn)[expected.model.name]
    wanted = {name: count for name, count in expected.books.items() if name != "labels" or expected.model.label_topics}
    assert {name: found[name] for name in wanted} == wanted, expected.model.name


def _compare_dead_letters(conn: Any, everything: Sequence[Expected]) -> None:
    found = sorted(
        (letter.model, letter.topic, letter.partition, offset, letter.reason)
        for letter in dead_letters.load(conn, limit=10_000)
        for offset in range(letter.offset, letter.offset_end)
    )
    wanted = sorted(
        (letter.model, letter.topic, letter.partition, letter.offset, letter.reason)
        for expected in everything
        for letter in expected.dead_letters
    )
    assert found == wanted


# Panes: counts, extremes, samples


def _compare_panes(conn: Any, expected: Expected) -> Compared:
    model = expected.model
    compared = Compared()
    first = 0
    stored: dict[tuple[str, int], tuple[list[Profile], list[Sample], Any]] = {}
    layouts: dict[str, Any] = {}
    for partial in panes.load_partials(conn, model.name, first, 1 << 62):
        if partial.spec_hash not in layouts:
            body = specs.load_spec(conn, partial.spec_hash)
            assert body is not None
            layouts[partial.spec_hash] = Spec.from_bytes(body).layout
        layout = layouts[partial.spec_hash]
        profiles, samples, _ = stored.setdefault((partial.version, partial.pane_start), ([], [], layout))
        profile = Profile.from_bytes(layout, partial.profile)
        assert profile.rows == partial.rows
        profiles.append(profile)
        if partial.sample is not None:
            samples.append(Sample.from_bytes(layout, partial.sample))
    assert set(stored) == set(expected.panes), model.name
    rows_of = {(pane.version, pane.pane_start): pane.rows for pane in panes.pane_rows(conn, model.name)}
    for key, rows in expected.panes.items():
        profiles, samples, layout = stored[key]
        assert rows_of[key] == len(rows), (model.name, key)
        compare_profile(Profile.merge(profiles), rows, model, layout)
        _compare_sample(Sample.merge(samples), expected.sample(rows), (model.name, key))
        compared.panes += 1
        compared.rows += len(rows)
    return compared


def compare_profile(profile: Profile, rows: pd.DataFrame, model: Watched, layout: Any) -> None:
    """Every count of a profile against the rows that it must be made of."""
    assert profile.rows == len(rows)
    for column, kind in model.watched_columns.items():
        values, wrong = rows[f"value {column}"], rows[f"wrong {column}"].astype(bool)
        where = (model.name, column)
        assert profile.mistyped(column) == int(wrong.sum()), where
        assert profile.missing(column) == int((values.isna() & ~wrong).sum()), where
        present = values.dropna()
        assert profile.present(column) == len(present), where
        at = layout.column(column)
        if kind == "numeric":
            assert isinstance(at, NumericLayout), where
            _compare_numbers(profile, column, present.to_numpy(float), at)
        else:
            assert isinstance(at, CategoricalLayout), where
            counted = present.value_counts()
            cells = profile.counts(column).tolist()
            assert cells[: len(at.vocabulary)] == [int(counted.get(text, 0)) for text in at.vocabulary], where
            unseen = {text: int(n) for text, n in counted.items() if text not in at.vocabulary}
            assert dict(profile.unseen(column).kept) == unseen, where
            assert profile.unseen(column).total == sum(unseen.values()), where
    for number, segmentation in enumerate(layout.segmentations):
        (column,) = segmentation.columns
        texts = rows[f"value {column}"]
        for place in range(segmentation.size):
            label = segmentation.label(place)[column]
            own = texts == label if label != "(other)" else ~texts.isin([v[0] for v in segmentation.values])
            counted = int(profile.counts(column, (number, place)).sum()) + profile.missing(column, (number, place))
            assert counted == int(own.sum()), (model.name, column, label)


def _compare_numbers(profile: Profile, column: str, values: np.ndarray[Any, Any], at: NumericLayout) -> None:
    cells = np.bincount(np.searchsorted(at.edges, values, side="right"), minlength=at.body)
    assert profile.counts(column).tolist() == cells.tolist(), column
    if len(values):
        assert profile.minimum(column) == values.min(), column
        assert profile.maximum(column) == values.max(), column
        slack = TOLERANCE * float(np.abs(values - at.centre).sum()) / len(values)
        assert abs(profile.mean(column) - values.mean()) <= slack + 1e-12, column


def _compare_sample(sample: Sample, rows: pd.DataFrame, where: Any) -> None:
    found = sample.to_frame()
    assert len(found) == min(len(rows), SAMPLE_ROWS), where
    for ours, theirs in (("id", "_id"), ("topic", "_topic"), ("partition", "_partition"), ("offset", "_offset")):
        assert found[theirs].tolist() == rows[ours].tolist(), (where, ours)
    assert sample.identity.tolist() == rows["identity"].tolist(), where


# Windows and findings: final revisions only


def _last(conn: Any, model: str, kind: str) -> dict[tuple[int, int], Evaluation]:
    return {
        (one.window_start, one.window_end): one
        for one in sorted(evaluations.evaluated(conn, model=model, kind=kind), key=lambda one: one.revision)
    }


def _compare_windows(conn: Any, expected: Expected) -> Compared:
    model = expected.model
    drift = _last(conn, model.name, "drift")
    assert {window: one.rows for window, one in drift.items()} == {
        window: len(rows) for window, rows in expected.windows.items()
    }, model.name
    quality = _last(conn, model.name, "quality")
    assert {window: (one.expected, one.rows) for window, one in quality.items()} == {
        window: (count, len(labelled)) for window, (count, labelled) in expected.joined.items()
    }, model.name
    assert sorted(_last(conn, model.name, "silence")) == expected.silences, model.name
    for (start, end), (_, labelled) in expected.joined.items():
        joined = labels.joined(conn, model.name, start, end)
        pairs = sorted(zip(joined.prediction, joined.label, strict=True))
        assert pairs == sorted(zip(labelled["value prediction"], labelled["label"], strict=True)), (model.name, end)
    return Compared(windows=len(drift) + len(quality))


def _compare_results(results: Sequence[Mapping[str, Any]], expected: Expected) -> Compared:
    model = expected.model
    own = [row for row in results if row["model"] == model.name]
    assert [row for row in own if row["verdict"] == "error"] == []
    found = {
        (row["window_start"], row["window_end"], row["version"], row["column"], row["metric"]): row
        for row in own
        if row["segment"] is None
    }
    count = 0
    for (start, end), all_rows in expected.windows.items():
        for version, rows in all_rows.groupby("version"):
            for column, kind in model.watched_columns.items():
                key = (rfc3339(start), rfc3339(end), str(version), column)
                values, wrong = rows[f"value {column}"], rows[f"wrong {column}"]
                _close(found.get((*key, "missing")), float((values.isna() & ~wrong).mean()), key)
                _close(found.get((*key, "mistyped")), float(wrong.mean()), key)
                count += 2
                if kind == "numeric" and column == model.drifts:
                    _close(found[(*key, "psi")], expected.psi(rows, column), key)
                    count += 1
    for start, end in expected.joined:
        row = found[rfc3339(start), rfc3339(end), None, None, "mae"]
        _close(row, expected.mae(start, end), (model.name, end))
        count += 1
    silent = sorted((row["window_start"], row["window_end"]) for row in own if row["signal"] == "no_predictions")
    # Programs read whole seconds; the store's own instants are compared with the windows.
    seconds = [tuple(rfc3339(at - at % SECOND) for at in silence) for silence in expected.silences]
    assert silent == seconds, model.name
    return Compared(findings=count + len(silent))


def _close(row: Mapping[str, Any] | None, wanted: float, where: Any) -> None:
    """A finding's value is the wanted one; a check that had too few rows to speak has none."""
    if row is None or row["value"] is None:
        assert row is None or row["verdict"] in ("insufficient_data", "no_data"), where
        return
    assert abs(row["value"] - wanted) <= TOLERANCE * max(1.0, abs(wanted)), (where, row["value"], wanted)


def rfc3339(at: int) -> str:
    """Microseconds as programs read them."""
    text = pd.Timestamp(at, unit="us", tz="UTC").isoformat()
    return str(text).replace("+00:00", "Z")


# Incidents and what people were told


def _compare_incidents(conn: Any, everything: Sequence[Expected]) -> Compared:
    found = sorted(
        (one.model, one.family.value, one.since, one.state.value)
        for one in (StoredIncident.from_bytes(stored.summary) for stored in incidents.all_incidents(conn))
    )
    wanted = sorted(
        (one.model, one.family, one.since, "firing" if one.resolved is None else "resolved")
        for expected in everything
        for one in expected.incidents()
    )
    assert found == wanted
    return Compared(incidents=len(wanted))


_ENTRY = re.compile(r"(\d+ \w+ \d\d:\d\d)  (.+)")


def compare_threads(threads: Sequence[SlackThread], everything: Sequence[Expected]) -> Compared:
    """One root for each incident in its model's channel, one timeline below it, and what both finally say."""
    wanted = [incident for expected in everything for incident in expected.incidents()]
    by_incident: dict[str, list[SlackThread]] = {}
    for thread in threads:
        by_incident.setdefault(thread.root.payload["incident"], []).append(thread)
    twice = {incident: len(same) for incident, same in by_incident.items() if len(same) > 1}
    assert not twice, f"told twice: {twice}"
    left = [same[0] for same in by_incident.values()]
    for incident in wanted:
        own = [thread for thread in left if _is_of(thread, incident)]
        said = [(thread.channel, *_texts(thread)) for thread in left]
        assert len(own) == 1, f"{incident} is told by {len(own)} threads; there are {said}"
        left.remove(own[0])
        timelines = [reply for reply in own[0].replies if reply.part == "timeline"]
        assert [reply.part for reply in own[0].replies] == ["timeline"], incident
        entries = [match.groups() for match in map(_ENTRY.match, "\n".join(_plain(timelines[0])).splitlines()) if match]
        assert entries == [(_day(at), text) for at, text in incident.timeline], (incident, _plain(timelines[0]))
    assert left == [], [_texts(thread) for thread in left]
    return Compared(messages=sum(1 + len(thread.replies) for thread in threads))


def _is_of(thread: SlackThread, incident: Incident) -> bool:
    """Whether a thread's root says, in its final state, exactly what the incident has come to."""
    if thread.channel != CHANNELS[incident.model]:
        return False
    header, *body = _texts(thread)
    mark = "🟢 " if incident.resolved is not None else ""
    told = header.startswith(mark) and header.endswith(f" {incident.model} · {incident.header}")
    return told and (incident.span is None or f" {incident.span}." in body[0])


def _texts(thread: SlackThread) -> list[str]:
    return _plain(thread.root)


def _plain(message: Any) -> list[str]:
    return [html.unescape(text.replace("\u2060", "")) for text in message.texts]


def _day(at: int) -> str:
    moment = pd.Timestamp(at, unit="us", tz="UTC")
    return f"{moment.day} {moment:%b %H:%M}"
