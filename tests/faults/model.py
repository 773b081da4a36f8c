"""The reference model: what every count, sample, metric and incident must be, from the messages alone.

Written a second time, in plain pandas, from the documented rules. It imports nothing of `daemon` or `detectors`, so
that a mistake there cannot repeat itself here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

IDENTITY_SEED = 0x6472696674643031
SAMPLE_ROWS = 2_000
MAX_BYTES = 1 << 20
MAX_DEPTH = 32
FUTURE = 5 * MINUTE
YEAR_2000 = 946_684_800 * SECOND
FEWEST_ROWS = 20
MISTYPED_LIMIT = 0.01


@dataclass(frozen=True, slots=True)
class Message:
    """One record as the broker holds it; `timestamp` is Kafka's own, in microseconds.

    `generation` counts how often the topic was made anew before. An aborted record is nobody's, one of a broken batch
    is a dead letter of everybody's, and a lost one was gone before it was read.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    aborted: bool = False
    broken: bool = False
    lost: bool = False
    generation: int = 0


@dataclass(frozen=True)
class Watched:
    """One model as it is configured. Lengths are microseconds; `columns` maps a feature to "numeric" or "text".

    `pane` is the largest divisor of gcd(size, every) that is at most an hour; `reference` the rows of the file.
    """

    name: str
    topics: tuple[str, ...]
    where: Mapping[str, str]
    columns: Mapping[str, str]
    reference: pd.DataFrame
    size: int
    every: int
    pane: int
    delay: int
    lateness: int
    prediction: bool = True
    label_topics: tuple[str, ...] = ()
    coverage: float = 0.9
    missing_max: Mapping[str, float] = field(default_factory=dict)
    range_of: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    mae_max: float | None = None
    silence_after: int | None = None
    drifts: str | None = None
    for_windows: int = 1
    recover_after: int = 1

    @property
    def watched_columns(self) -> dict[str, str]:
        """The features, and the prediction where there is one."""
        return {**self.columns, **({"prediction": "numeric"} if self.prediction else {})}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Where a message lies that cannot be counted, and why."""

    model: str
    topic: str
    partition: int
    offset: int
    reason: str


@dataclass(frozen=True)
class Incident:
    """One incident and what its thread finally says: the root's header, from when to when, the timeline's entries."""

    model: str
    family: str
    since: int
    resolved: int | None
    header: str
    span: str | None
    timeline: tuple[tuple[int, str], ...]


class _Bad(Exception):
    """A message that is a dead letter, with its reason."""


def _constant(_: str) -> NoReturn:
    raise _Bad("NaN literal")


def _depth(text: str) -> int:
    """How deep objects and lists are nested, brackets inside strings apart."""
    level = deepest = 0
    quoted = escaped = False
    for character in text:
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character in "{[":
            level += 1
            deepest = max(deepest, level)
        elif character in "}]":
            level -= 1
    return deepest


def parse(value: bytes) -> dict[str, Any]:
    """The object that a message holds; raises _Bad with the reason for a dead letter."""
    if len(value) > MAX_BYTES:
        raise _Bad("too large")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise _Bad("not UTF-8") from None
    if _depth(text) > MAX_DEPTH:
        raise _Bad("nested too deep")
    try:
        found = json.loads(text, parse_constant=_constant)
    except ValueError:
        raise _Bad("not JSON") from None
    if not isinstance(found, dict):
        raise _Bad("not an object")
    return found


def instant(text: str) -> int:
    """RFC 3339 text as microseconds."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * SECOND + moment.microsecond


def identities(ids: Sequence[str]) -> NDArray[np.uint64]:
    """The documented hash of prediction ids: MurmurHash64A of their UTF-8, one id after the other."""
    return np.array([_murmurhash64a(text.encode()) for text in ids], dtype=np.uint64)


def _murmurhash64a(text: bytes) -> int:
    factor, modulus = 0xC6A4A7935BD1E995, 1 << 64
    state = IDENTITY_SEED ^ (len(text) * factor % modulus)
    whole = len(text) // 8 * 8
    for start in range(0, whole, 8):
        word = int.from_bytes(text[start : start + 8], "little") * factor % modulus
        word = (word ^ word >> 47) * factor % modulus
        state = (state ^ word) * factor % modulus
    if text[whole:]:
        state = (state ^ int.from_bytes(text[whole:], "little")) * factor % modulus
    state = (state ^ state >> 47) * factor % modulus
    return state ^ state >> 47


def psi(reference: pd.Series, window: pd.Series) -> float:
    """Evidently's population stability index of a numeric column: Sturges' bins over both sides, empty ones filled."""
    before, after = reference.dropna().to_numpy(float), window.dropna().to_numpy(float)
    if len(np.unique(before)) > 20:
        edges = np.histogram_bin_edges(np.concatenate([before, after]), bins="sturges")
        r = np.histogram(before, edges)[0] / len(before)
        c = np.histogram(after, edges)[0] / len(after)
    else:
        values = np.unique(np.concatenate([before, after]))
        r = np.array([(before == value).mean() for value in values])
        c = np.array([(after == value).mean() for value in values])
    for shares in (r, c):
        smallest = shares[shares != 0].min()
        shares[shares == 0] = smallest / 1e6 if smallest <= 0.0001 else 0.0001
    return float(np.sum((r - c) * np.log(r / c)))


class Expected:
    """What becomes of one model's messages, given every message of its topics in the order of their offsets."""

    def __init__(self, model: Watched, messages: Sequence[Message]) -> None:
        self.model = model
        self.books: Counter[str] = Counter()
        self.dead_letters: list[DeadLetter] = []
        ordered = sorted(
            (message for message in messages if not message.aborted and not message.lost),
            key=lambda message: (message.topic, message.generation, message.partition, message.offset),
        )
        self.rows = self._count([message for message in ordered if message.topic in model.topics])
        self.labels = self._labels([message for message in ordered if message.topic in model.label_topics])
        self.watermark = self._watermark(ordered)

    # Messages

    def _mine(
        self, messages: Sequence[Message], where: Mapping[str, str]
    ) -> Iterator[tuple[Message, dict[str, Any], int]]:
        """The model's own messages with their content and event time; the others go into the books."""
        for message in messages:
            self.books["messages"] += 1
            try:
                if message.broken:
                    raise _Bad("broken batch")
                found = self._read(message, where)
                if found is None:
                    self.books["ignored"] += 1
                    continue
                when = self._event_time(message, found)
            except _Bad as bad:
                self.books["dead_lettered"] += 1
                letter = DeadLetter(self.model.name, message.topic, message.partition, message.offset, str(bad))
                self.dead_letters.append(letter)
                continue
            self.books["decoded"] += 1
            yield message, found, when

    @staticmethod
    def _read(message: Message, where: Mapping[str, str]) -> dict[str, Any] | None:
        """A message's object, or None when it is another model's."""
        if not message.value:
            return None
        for path, text in where.items():
            if path.startswith("header:") and (path.removeprefix("header:"), text.encode()) not in message.headers:
                return None
            if not path.startswith("header:") and text.encode() not in message.value:
                return None
        found = parse(message.value)
        for path, text in where.items():
            if not path.startswith("header:") and found.get(path) != text:
                return None
        identity = found.get("id")
        if identity is None or identity == "":
            raise _Bad("no id")
        if isinstance(identity, bool) or not isinstance(identity, str | int):
            raise _Bad("wrong type of id")
        return found

    @staticmethod
    def _event_time(message: Message, found: dict[str, Any]) -> int:
        text = found.get("ts")
        if text is None:
            raise _Bad("no timestamp")
        if not isinstance(text, str):
            raise _Bad("wrong type of timestamp")
        try:
            when = instant(text)
        except ValueError:
            raise _Bad("unreadable timestamp") from None
        if when < YEAR_2000:
            raise _Bad("event time before 2000")
        if when > message.timestamp + FUTURE:
            raise _Bad("event time in the future")
        return when

    def _count(self, messages: Sequence[Message]) -> pd.DataFrame:
        """Every row that counts, late ones left out."""
        model = self.model
        highest: dict[tuple[str, int, int], int] = {}
        rows = []
        for message, found, when in self._mine(messages, model.where):
            self.books["predictions"] += 1
            place = (message.topic, message.generation, message.partition)
            pane = when - when % model.pane
            before = highest.get(place)
            highest[place] = when if before is None else max(before, when)
            if before is not None and pane + model.size <= before - model.delay - model.lateness:
                self.books["late_dropped"] += 1
                continue
            self.books["profiled"] += 1
            row = {
                "id": str(found["id"]),
                "version": str(found.get("model_version") or ""),
                "time": when,
                "pane": pane,
                "topic": message.topic,
                "partition": message.partition,
                "offset": message.offset,
            }
            features = found.get("features") or {}
            for column, kind in model.watched_columns.items():
                value = found.get("prediction") if column == "prediction" else features.get(column)
                wrong = isinstance(value, dict | list) or (kind == "numeric" and isinstance(value, bool | str))
                row[f"wrong {column}"] = wrong
                row[f"value {column}"] = None if wrong or value is None else self._value(value, kind)
            rows.append(row)
        columns = ["id", "version", "time", "pane", "topic", "partition", "offset"]
        columns += [f"{word} {column}" for column in model.watched_columns for word in ("wrong", "value")]
        frame = pd.DataFrame(rows, columns=columns)
        frame["identity"] = identities(frame["id"].tolist())
        for column, kind in model.watched_columns.items():
            if kind == "numeric":
                frame[f"value {column}"] = frame[f"value {column}"].astype(float)
        return frame

    @staticmethod
    def _value(value: Any, kind: str) -> Any:
        if kind == "numeric":
            return float(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else str(int(value) if float(value).is_integer() else value)

    def _labels(self, messages: Sequence[Message]) -> pd.DataFrame:
        """The label that counts of each id: the latest by its own time, then by offset."""
        rows = [
            {
                "id": str(found["id"]),
                "time": when,
                "offset": message.offset,
                "partition": message.partition,
                "label": float(found["label"]),
            }
            for message, found, when in self._mine(messages, {})
        ]
        self.books["labels"] = len(rows)
        frame = pd.DataFrame(rows, columns=["id", "time", "offset", "partition", "label"])
        return frame.sort_values(["time", "offset", "partition"]).drop_duplicates("id", keep="last")

    def _watermark(self, messages: Sequence[Message]) -> int:
        """The end of the data under `clock: event`: the highest event time of any row in the model's topics."""
        highest = 0
        for message in messages:
            if message.topic not in self.model.topics or not message.value or message.broken:
                continue
            try:
                highest = max(highest, self._event_time(message, parse(message.value)))
            except _Bad:
                continue
        return highest

    # Windows

    @cached_property
    def panes(self) -> dict[tuple[str, int], pd.DataFrame]:
        """The rows of each (version, pane)."""
        return {(str(version), int(pane)): rows for (version, pane), rows in self.rows.groupby(["version", "pane"])}

    @staticmethod
    def sample(rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of lowest hash, in order."""
        return rows.sort_values(["identity", "topic", "partition", "offset"]).head(SAMPLE_ROWS)

    @cached_property
    def windows(self) -> dict[tuple[int, int], pd.DataFrame]:
        """The rows of each window [start, end) that has any and whose end the data has passed, by start and end."""
        model = self.model
        found = {}
        if self.rows.empty:
            return found
        first, last = int(self.rows["pane"].min()), int(self.rows["pane"].max())
        for end in range((first // model.every + 1) * model.every, last + model.size + 1, model.every):
            rows = self.rows[(self.rows["pane"] >= end - model.size) & (self.rows["pane"] < end)]
            if len(rows) and end <= self.watermark:
                found[end - model.size, end] = rows
        return found

    @cached_property
    def joined(self) -> dict[tuple[int, int], tuple[int, pd.DataFrame]]:
        """By window: how many predictions are to have a label, and those that have one.

        Of several predictions with one id the one of the earliest event time counts, then of the lowest offset.
        """
        if not self.model.label_topics:
            return {}
        kept = self.rows.sort_values(["time", "offset", "partition"]).drop_duplicates("id", keep="first")
        both = kept.merge(self.labels[["id", "label"]], on="id", how="left")
        found = {}
        for start, end in self.windows:
            rows = both[(both["pane"] >= start) & (both["pane"] < end)]
            labelled = rows[rows["label"].notna()]
            if len(rows) and len(labelled) >= self.model.coverage * len(rows):
                found[start, end] = (len(rows), labelled)
        return found

    def mae(self, start: int, end: int) -> float:
        """The mean absolute error of a window."""
        labelled = self.joined[start, end][1]
        return float((labelled["value prediction"] - labelled["label"]).abs().mean())

    def psi(self, rows: pd.DataFrame, column: str) -> float:
        """PSI of some rows' numeric column against the reference."""
        return psi(self.model.reference[column], rows[f"value {column}"])

    @cached_property
    def silences(self) -> list[tuple[int, int]]:
        """The stretches without a row that are longer than allowed: the last row before and the first one after."""
        if self.model.silence_after is None or self.rows.empty:
            return []
        times = np.sort(self.rows["time"].to_numpy())
        places = np.flatnonzero(np.diff(times) > self.model.silence_after)
        return [(int(times[i]), int(times[i + 1])) for i in places.tolist()]

    # Incidents

    def incidents(self) -> list[Incident]:
        """Every incident that the explicit limits, the silences and the one gross drift must have opened."""
        found = [*self._of_rules(), *self._of_quality(), *self._of_silence(), *self._of_drift()]
        return sorted(found, key=lambda incident: (incident.model, incident.family, incident.since))

    def _of_rules(self) -> Iterator[Incident]:
        """Rules on the data: each fires and ends at once. The workload breaks one rule at a time."""
        model = self.model
        for column, limit in model.missing_max.items():
            verdicts = [
                (start, end, any(rows[f"value {column}"].isna().mean() > limit for rows in parts))
                for start, end, parts in self._by_version()
            ]
            yield from self._runs(verdicts, "data", f"too many missing values in {column}")
        for column, (low, high) in model.range_of.items():
            verdicts = [
                (start, end, any(not rows[f"value {column}"].dropna().between(low, high).all() for rows in parts))
                for start, end, parts in self._by_version()
            ]
            yield from self._runs(verdicts, "data", f"values out of range in {column}")
        for column in model.watched_columns:
            verdicts = [
                (start, end, any(rows[f"wrong {column}"].mean() >= MISTYPED_LIMIT for rows in parts))
                for start, end, parts in self._by_version()
            ]
            yield from self._runs(verdicts, "data", f"{column} changed its type")

    def _by_version(self) -> Iterator[tuple[int, int, list[pd.DataFrame]]]:
        for (start, end), rows in self.windows.items():
            parts = [part for _, part in rows.groupby("version") if len(part) >= FEWEST_ROWS]
            if parts:
                yield start, end, parts

    def _of_quality(self) -> Iterator[Incident]:
        if self.model.mae_max is not None:
            verdicts = [(start, end, self.mae(start, end) > self.model.mae_max) for start, end in self.joined]
            yield from self._runs(verdicts, "model", "MAE got worse", "MAE")

    def _of_drift(self) -> Iterator[Incident]:
        """The one column that the workload shifts by many deviations: beyond any test's doubt."""
        column = self.model.drifts
        if column is not None:
            verdicts = [
                (start, end, self.psi(rows, column) > 1.0)
                for (start, end), rows in self.windows.items()
                if not self._interrupted(start, end)
            ]
            yield from self._runs(verdicts, "model", f"{column} drifted", column)

    def _interrupted(self, start: int, end: int) -> bool:
        missing = sum(max(0, min(end, until) - max(start, since)) for since, until in self.silences)
        return missing > 0.05 * (end - start)

    def _runs(
        self, verdicts: Sequence[tuple[int, int, bool]], family: str, title: str, noun: str | None = None
    ) -> Iterator[Incident]:
        """Incidents of one line: so many flagged windows in a row open one, so many quiet ones end it.

        Rules on the data, which are those without a noun, fire and end at once.
        """
        for_windows, recover_after = (1, 1) if noun is None else (self.model.for_windows, self.model.recover_after)
        over = f"{noun or title} back to usual"
        since: int | None = None
        flagged = quiet = 0
        opened: int | None = None
        timeline: list[tuple[int, str]] = []
        for start, end, bad in verdicts:
            if bad:
                since = start if since is None else since
                flagged, quiet = flagged + 1, 0
                if opened is None and flagged >= for_windows:
                    opened = end
                    timeline = [(end, f"Opened: {title}.")]
                continue
            quiet += 1
            if opened is None:
                since, flagged = None, 0
            elif quiet >= recover_after:
                assert since is not None
                yield self._incident(family, over, since, end, timeline)
                since = opened = None
                flagged = 0
        if opened is not None and since is not None:
            yield self._incident(family, title, since, None, timeline)

    def _incident(
        self, family: str, header: str, since: int, resolved: int | None, timeline: list[tuple[int, str]]
    ) -> Incident:
        span = None
        if resolved is not None:
            span = f"from {day(since)} to {day(resolved)} UTC ({length(resolved - since)})"
            timeline = [*timeline, (resolved, f"Recovered after {length(resolved - since)}.")]
        return Incident(self.model.name, family, since, resolved, header, span, tuple(timeline))

    def _of_silence(self) -> Iterator[Incident]:
        for since, until in self.silences:
            assert self.model.silence_after is not None
            opened = (since + self.model.silence_after, "Opened: no predictions.")
            yield self._incident("data", "predictions are back", since, until, [opened])


def day(at: int) -> str:
    """A day and minute as people read it."""
    moment = datetime.fromtimestamp(at // SECOND, UTC)
    return f"{moment.day} {moment:%b %H:%M}"


def length(micros: int) -> str:
    """A length of time in its two largest units."""
    units = ((24 * HOUR, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
    for place, (size, name) in enumerate(units):
        if micros >= size:
            text = f"{micros // size} {name}"
            smaller = units[place + 1] if place + 1 < len(units) else None
            if smaller is not None and name != "min" and micros % size >= smaller[0]:
                text += f" {micros % size // smaller[0]} {smaller[1]}"
            return text
    return "0 s"
