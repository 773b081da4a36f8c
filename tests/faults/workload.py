"""A seeded workload: what three models' producers write in forty hours of event time, the bad messages included.

`alpha` and `beta` share a topic, told apart by a field and by a header; `gamma` is spread over two topics. Every seed
has the same story, so that what must come of it is known: labels that show a bad stretch of alpha and a range that it
leaves for good, missing values of beta, a drift and a silence of gamma. The rows are different.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.faults.model import HOUR, MINUTE, SECOND, Watched

MONDAY = int(datetime(2024, 3, 4, tzinfo=UTC).timestamp()) * SECOND
HOURS = 40
ROWS_AN_HOUR = 15
REFERENCE_WINDOWS = 30
SHARED, LABELS, FIRST, SECOND_TOPIC = "shared", "labels", "first", "second"
PARTITIONS: Mapping[str, int] = {SHARED: 3, LABELS: 2, FIRST: 2, SECOND_TOPIC: 1}
CHANNELS = {"alpha": "#alpha", "beta": "#beta", "gamma": "#gamma"}

BAD_LABELS = (8, 16)
OUT_OF_RANGE = (32, 40)
MISSING_NOTES = (8, 12)
BURST = 20
DRIFT = (8, 16)
SILENCE = (20, 26)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message on its way to the broker; `arrival` is what Kafka's timestamp will be, in microseconds."""

    arrival: int
    topic: str
    partition: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    aborted: bool = False


@dataclass(frozen=True)
class Workload:
    """The drafts in the order of their arrival, and the references that the models are held against."""

    seed: int
    start: int
    drafts: tuple[Draft, ...]
    references: Mapping[str, pd.DataFrame]

    def slices(self, count: int) -> list[list[Draft]]:
        """The drafts in `count` runs of about equal length."""
        borders = np.linspace(0, len(self.drafts), count + 1).astype(int).tolist()
        return [list(self.drafts[a:b]) for a, b in pairwise(borders)]


def rfc3339(at: int) -> str:
    """Microseconds as text, milliseconds kept."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).isoformat(timespec="milliseconds")[:-6] + "Z"


def make(seed: int, *, start: int = MONDAY, burst: int = 2_600, bad_messages: bool = True) -> Workload:
    """The workload of a seed, its first row at `start` or soon after; `burst` rows of beta fall into one hour."""
    generator = _Generator(np.random.default_rng(seed), start, burst)
    drafts = [*generator.alpha(), *generator.beta(), *generator.gamma()]
    if bad_messages:
        drafts += generator.bad()
    drafts += generator.last()
    # Python's sort is stable, so a seed gives the same order for ever.
    drafts.sort(key=lambda draft: draft.arrival)
    return Workload(seed, start, tuple(drafts), generator.references())


class _Generator:
    def __init__(self, rng: np.random.Generator, start: int, burst: int) -> None:
        self.rng = rng
        self.start = start
        self.burst = burst
        self.end = start + HOURS * HOUR

    def _times(self, rows_an_hour: int = ROWS_AN_HOUR, hours: int = HOURS) -> list[int]:
        times = self.rng.integers(0, hours * 3_600_000, rows_an_hour * hours)
        return sorted((self.start + times * 1_000).tolist())

    def _at(self, time: int) -> float:
        return (time - self.start) / HOUR

    def _soon(self, time: int) -> int:
        return time + int(self.rng.integers(0, 60)) * SECOND

    # alpha: a regression with labels

    def _alpha_features(self) -> dict[str, Any]:
        amount = None if self.rng.random() < 0.03 else round(float(self.rng.gamma(4.0, 25.0)), 3)
        return {
            "amount": amount,
            "count": int(self.rng.integers(1, 10)),
            "kind": str(self.rng.choice(["a", "b", "c", "d"], p=[0.5, 0.3, 0.15, 0.05])),
            "flag": bool(self.rng.random() < 0.3),
        }

    def _prediction(self, features: Mapping[str, Any]) -> float:
        amount = features["amount"]
        return round(10 + 0.05 * (100.0 if amount is None else amount) + float(self.rng.normal()), 3)

    def alpha(self) -> Iterator[Draft]:
        switch = 18.0 + float(self.rng.random())
        for number, time in enumerate(self._times()):
            hour = self._at(time)
            features = self._alpha_features()
            prediction = self._prediction(features)
            if OUT_OF_RANGE[0] <= hour < OUT_OF_RANGE[1] and features["amount"] is not None and number % 4 == 0:
                features["amount"] = 5_000.0 + number
            arrival = self._soon(time)
            quiet = hour < BAD_LABELS[0] or BAD_LABELS[1] <= hour < 28
            chance = self.rng.random()
            if quiet and chance < 0.04:
                arrival = time + int(self.rng.integers(20, 200)) * MINUTE
            elif quiet and chance < 0.06:
                arrival = time + int(self.rng.integers(10 * 60, 12 * 60)) * MINUTE
            early = quiet and 0.06 <= chance < 0.1
            if early:
                arrival = time + int(self.rng.integers(20, 40)) * MINUTE
            body = {
                "model": "alpha",
                "id": f"a{number}",
                "ts": rfc3339(time),
                "model_version": "1" if hour < switch else "2",
                "features": features,
                "prediction": prediction,
            }
            partition = int(self.rng.integers(0, PARTITIONS[SHARED]))
            yield Draft(arrival, SHARED, partition, _json(body))
            if self.rng.random() < 0.03:
                # A producer that tried again: the same message twice, perhaps in another partition.
                again = int(self.rng.integers(0, PARTITIONS[SHARED]))
                yield Draft(arrival + 2 * SECOND, SHARED, again, _json(body))
            yield from self._label(number, time, hour, prediction, early)

    def _label(self, number: int, time: int, hour: float, prediction: float, early: bool) -> Iterator[Draft]:
        if self.rng.random() < 0.03:
            return
        error = self.rng.normal(20, 1) if BAD_LABELS[0] <= hour < BAD_LABELS[1] else self.rng.normal(0, 2)
        at = time + MINUTE if early else time + int(self.rng.integers(10, 120)) * MINUTE
        at = min(at, self.end + 20 * MINUTE)
        partition = int(self.rng.integers(0, PARTITIONS[LABELS]))
        label = round(prediction - float(error), 3)
        if self.rng.random() < 0.04:
            # Corrected later: the second one counts.
            wrong = {"id": f"a{number}", "ts": rfc3339(at), "label": label + 3.0}
            yield Draft(at, LABELS, partition, _json(wrong))
            at = min(at + 5 * MINUTE, self.end + 25 * MINUTE)
        yield Draft(at, LABELS, partition, _json({"id": f"a{number}", "ts": rfc3339(at), "label": label}))
        if self.rng.random() < 0.01:
            stranger = {"id": f"nobody{number}", "ts": rfc3339(at), "label": 1.0}
            yield Draft(at, LABELS, partition, _json(stranger))

    # beta: drift only, known by a header, in two of the three partitions

    _BETA = (("app", b"beta"),)

    def _beta_body(self, name: str, time: int, *, missing: float) -> dict[str, Any]:
        rng = self.rng
        return {
            "id": name,
            "ts": rfc3339(time),
            "model_version": 3,
            "features": {
                "note": None if rng.random() < missing else str(rng.choice(["x", "y", "z"])),
                "level": round(float(rng.normal(0, 1)), 4),
                "origin": str(rng.choice(["north", "south", "west", "east"], p=[0.4, 0.3, 0.2, 0.1])),
            },
        }

    def beta(self) -> Iterator[Draft]:
        for number, time in enumerate(self._times()):
            hour = self._at(time)
            missing = 0.7 if MISSING_NOTES[0] <= hour < MISSING_NOTES[1] else 0.02
            body = self._beta_body(f"b{number}", time, missing=missing)
            if self.rng.random() < 0.01:
                body["features"]["origin"] = f"never-seen-{number % 7}"
            yield Draft(self._soon(time), SHARED, int(self.rng.integers(0, 2)), _json(body), self._BETA)
        times = self.start + BURST * HOUR + self.rng.integers(0, 3_600_000, self.burst) * 1_000
        for number, time in enumerate(sorted(times.tolist())):
            body = self._beta_body(f"burst{number}", time, missing=0.02)
            if number % 700 == 699:
                body["features"]["level"] = "high"
            yield Draft(self._soon(time), SHARED, int(self.rng.integers(0, 2)), _json(body), self._BETA)

    # gamma: two topics, a drift, a silence

    def gamma(self) -> Iterator[Draft]:
        for number, time in enumerate(self._times()):
            hour = self._at(time)
            if SILENCE[0] <= hour < SILENCE[1]:
                continue
            centre = 120.0 if DRIFT[0] <= hour < DRIFT[1] else 50.0
            body = {
                "id": f"g{number}",
                "ts": rfc3339(time),
                "features": {
                    "load": round(float(self.rng.normal(centre, 5)), 4),
                    "zone": str(self.rng.choice(["p", "q"])),
                },
            }
            topic = FIRST if self.rng.random() < 0.7 else SECOND_TOPIC
            yield Draft(self._soon(time), topic, int(self.rng.integers(0, PARTITIONS[topic])), _json(body))

    # What no one can count

    def bad(self) -> Iterator[Draft]:
        """Every kind of bad message of the issue, for the models of the shared topic and for gamma."""
        for place, (body, headers) in enumerate(self._bad_bodies()):
            at = self.start + (2 + place) * HOUR + 7 * MINUTE
            # The last bodies are gamma's, whose silence begins at hour 20: nothing of them is a row.
            topic = FIRST if body is not None and b"gamma" in body else SHARED
            yield Draft(at, topic, int(self.rng.integers(0, 2)), body, headers)

    def _bad_bodies(self) -> list[tuple[bytes | None, tuple[tuple[str, bytes], ...]]]:
        def alpha(**changes: Any) -> bytes:
            body = {
                "model": "alpha",
                "id": "bad",
                "ts": rfc3339(self.start + HOUR),
                "features": self._alpha_features(),
                "prediction": 1.0,
            }
            return _json({key: value for key, value in (body | changes).items() if value is not ...})

        deep: Any = 1
        for _ in range(40):
            deep = [deep]
        beta = self._BETA
        return [
            (b'{"model": "alpha", "id": "bad", ', ()),
            (alpha(id=...), ()),
            (alpha(id=""), ()),
            (alpha(id={"a": 1}), ()),
            (alpha(prediction=float("nan")), ()),
            (alpha(extra=deep), ()),
            (alpha(filler="x" * (1 << 20)), ()),
            (alpha(ts="3000-01-01T00:00:00Z"), ()),
            (alpha(ts="1970-01-01T00:00:00Z"), ()),
            (alpha(ts=12), ()),
            (alpha(ts="yesterday"), ()),
            (alpha(ts=...), ()),
            (b"no json at all", beta),
            (b'["a", "list"]', beta),
            (b"\xff\xfe", beta),
            (None, beta),
            (b'{"id": "gamma", "ts": "2999-01-01T00:00:00Z"}', ()),
        ]

    def last(self) -> Iterator[Draft]:
        """One row half an hour after the end for each model and partition: every window before has then ended."""
        at = self.end + 30 * MINUTE
        for partition in range(PARTITIONS[SHARED]):
            features = self._alpha_features()
            body = {
                "model": "alpha",
                "id": f"last{partition}",
                "ts": rfc3339(at),
                "model_version": "2",
                "features": features,
                "prediction": self._prediction(features),
            }
            yield Draft(at, SHARED, partition, _json(body))
        for partition in range(2):
            yield Draft(at, SHARED, partition, _json(self._beta_body(f"last{partition}", at, missing=0)), self._BETA)
        for topic in (FIRST, SECOND_TOPIC):
            for partition in range(PARTITIONS[topic]):
                body = {"id": f"last-{topic}{partition}", "ts": rfc3339(at), "features": {"load": 50.0, "zone": "p"}}
                yield Draft(at, topic, partition, _json(body))
        for partition in range(PARTITIONS[LABELS]):
            body = {"id": f"never{partition}", "ts": rfc3339(at), "label": 0.0}
            yield Draft(at, LABELS, partition, _json(body))

    def references(self) -> dict[str, pd.DataFrame]:
        """A reference for each model: of alpha and gamma with event times and so with windows, of beta without."""
        rows = REFERENCE_WINDOWS * 4 * ROWS_AN_HOUR
        first = self.start - (REFERENCE_WINDOWS + 6) * 4 * HOUR
        times = np.sort(first + self.rng.integers(0, REFERENCE_WINDOWS * 4 * 3_600_000, rows) * 1_000)
        stamps = pd.to_datetime(times, unit="us", utc=True)
        alpha = pd.DataFrame([self._alpha_features() for _ in range(rows)])
        alpha["prediction"] = [self._prediction(row) for row in alpha.replace({np.nan: None}).to_dict("records")]
        alpha["label"] = alpha["prediction"] + self.rng.normal(0, 2, rows)
        alpha["ts"] = stamps
        beta = pd.DataFrame([self._beta_body("", self.start, missing=0.02)["features"] for _ in range(rows)])
        gamma = pd.DataFrame({"load": self.rng.normal(50, 5, rows).round(4), "zone": self.rng.choice(["p", "q"], rows)})
        gamma["ts"] = stamps
        return {"alpha": alpha, "beta": beta, "gamma": gamma}


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()


# The same three models twice: as the reference model knows them, and as YAML


def watched(workload: Workload, topics: Mapping[str, str]) -> list[Watched]:
    """The models as the reference model is told of them; `topics` maps the workload's names to the broker's."""
    common = {"delay": 10 * MINUTE, "lateness": 4 * HOUR, "size": 4 * HOUR, "pane": HOUR}
    return [
        Watched(
            name="alpha",
            topics=(topics[SHARED],),
            where={"model": "alpha"},
            columns={"amount": "numeric", "count": "numeric", "kind": "text", "flag": "text"},
            reference=workload.references["alpha"],
            every=4 * HOUR,
            label_topics=(topics[LABELS],),
            range_of={"amount": (0, 2_000)},
            coverage=0.8,
            mae_max=8,
            **common,
        ),
        Watched(
            name="beta",
            topics=(topics[SHARED],),
            where={"header:app": "beta"},
            columns={"note": "text", "level": "numeric", "origin": "text"},
            reference=workload.references["beta"],
            every=2 * HOUR,
            prediction=False,
            missing_max={"note": 0.2},
            **common,
        ),
        Watched(
            name="gamma",
            topics=(topics[FIRST], topics[SECOND_TOPIC]),
            where={},
            columns={"load": "numeric", "zone": "text"},
            reference=workload.references["gamma"],
            every=4 * HOUR,
            prediction=False,
            silence_after=2 * HOUR,
            drifts="load",
            for_windows=2,
            **common,
        ),
    ]


def settings(
    workload: Workload, topics: Mapping[str, str], *, folder: Path, bootstrap: str, slack_url: str
) -> dict[str, Any]:
    """The configuration as a document for YAML, with the references written beside it."""
    for name, frame in workload.references.items():
        frame.to_parquet(folder / f"{name}.parquet")
    window = {"size": "4h", "every": "4h", "watermark_delay": "10m", "allowed_lateness": "4h", "min_rows": 20}
    never = {"after": "1000d"}
    return {
        "installation": "faults",
        "clock": "event",
        "kafka": {"bootstrap_servers": bootstrap},
        "store": {"path": str(folder / "driftd.db"), "checkpoint": "200ms"},
        "slack": {"bot_token": "xoxb-test", "api_url": slack_url},
        # Next to none: only the story's own faults may be told.
        "false_alarms": {"at_most": "0.001 per month"},
        "models": {
            "alpha": {
                "task": "regression",
                "channel": CHANNELS["alpha"],
                "predictions": {"topic": topics[SHARED], "start": "earliest", "where": {"model": "alpha"}},
                "labels": {
                    "topic": topics[LABELS],
                    "start": "earliest",
                    "maturity": {"coverage": "80%", "at_most": "10d"},
                },
                "reference": {"uri": "alpha.parquet"},
                "window": window,
                "columns": {"overrides": {"amount": {"range": [0, 2000]}}},
                "alerts": {
                    "for": "1 window",
                    "recover_after": "1 window",
                    "quality": {"mae": {"max": 8}},
                    "no_predictions": never,
                },
            },
            "beta": {
                "channel": CHANNELS["beta"],
                "predictions": {
                    "topic": topics[SHARED],
                    "start": "earliest",
                    "where": {"header:app": "beta"},
                    "fields": {"prediction": None},
                },
                "reference": {"uri": "beta.parquet"},
                "window": window | {"every": "2h"},
                "columns": {"overrides": {"note": {"missing": {"max": "20%"}}}},
                "segments": {"by": ["origin"]},
                "alerts": {"for": "1 window", "recover_after": "1 window", "no_predictions": never},
            },
            "gamma": {
                "channel": CHANNELS["gamma"],
                "predictions": {
                    "topic": [topics[FIRST], topics[SECOND_TOPIC]],
                    "start": "earliest",
                    "fields": {"prediction": None},
                },
                "reference": {"uri": "gamma.parquet"},
                "window": window,
                "columns": {"important": ["load"], "overrides": {"load": {"method": "psi"}}},
                "alerts": {"for": "2 windows", "recover_after": "1 window", "no_predictions": {"after": "2h"}},
            },
        },
    }
