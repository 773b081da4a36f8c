"""A small model with known traffic on a real store: what intake would have written, without Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
import yaml

from daemon.config.settings import Settings
from daemon.config.windows import pane_length
from daemon.schedule.evaluate import Evaluator
from daemon.schedule.recording import Recorder
from daemon.schedule.references import References
from daemon.schedule.specs import SpecParts, StoredSpecs
from daemon.schedule.workers import WorkerPool
from daemon.store import Store, labels, panes, positions, predictions, specs
from daemon.store.evaluations import ResultRow, results
from daemon.store.positions import Partition, Position
from daemon.stream.spec import Spec, spec_of
from detectors.frames import encode_frame
from detectors.instants import DAY, Micros, parse_rfc3339
from detectors.profile import Profile
from detectors.rows import hash_ids
from detectors.sample import Sample
from tests.support.configuration import load
from tests.unit.store.tables import put_position

MODEL = "orders"
TOPIC = "orders.predictions"
START: Micros = parse_rfc3339("2013-03-01T00:00:00Z")
REFERENCE_DAYS = 30
ROWS_A_DAY = 240


def orders(first_day: int, days: int, *, seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Rows of some days after START: a number, a category, a prediction and its label; `shift` moves the number."""
    source = np.random.default_rng(seed)
    n = days * ROWS_A_DAY
    at = START + first_day * DAY + (np.arange(n) * (DAY // ROWS_A_DAY))
    # Days differ a little, as real ones do: else the reference would show no ordinary variation at all.
    amount = source.normal(50 + np.repeat(source.normal(0, 1, days), ROWS_A_DAY), 10) + shift
    prediction = amount * 0.2 + source.normal(0, 1, n)
    return pd.DataFrame(
        {
            "id": [f"{first_day}-{seed}-{i}" for i in range(n)],
            "ts": pd.to_datetime(at, unit="us", utc=True),
            "amount": amount,
            "kind": source.choice(["web", "shop", "phone"], n, p=[0.6, 0.3, 0.1]),
            "prediction": prediction,
            "label": prediction + source.normal(0, 2, n),
        }
    )


def configuration(folder: Path, **changes: Any) -> Settings:
    """The settings, with the reference file written beside them once; `changes` go into the model, but what is under
    `installation` into the file itself.
    """
    if not (folder / "driftd.yaml").exists():
        orders(-REFERENCE_DAYS, REFERENCE_DAYS, seed=1).to_parquet(folder / "reference.parquet")
    installation = changes.pop("installation", {})
    document = {
        "installation": "test",
        "clock": "event",
        "kafka": {"bootstrap_servers": "localhost:9092"},
        **installation,
        "models": {
            MODEL: {
                "task": "regression",
                "predictions": {"topic": TOPIC, "fields": {"version": None}},
                "labels": {"topic": "orders.labels", "maturity": {"coverage": "90%", "at_most": "1d"}},
                "reference": {"uri": "reference.parquet"},
                "window": {"size": "1d", "every": "12h", "min_rows": 50, "allowed_lateness": "1d"},
                **changes,
            }
        },
    }
    path = folder / "driftd.yaml"
    path.write_text(yaml.safe_dump(document))
    return load(path, environ={}, secrets=False)


def spec_parts(body: bytes) -> SpecParts:
    """What the schedule reads from a spec of the stream."""
    spec = Spec.from_bytes(body)
    return SpecParts(spec.layout.to_bytes(), spec.reference_hash)


class World:
    """A store with one model, and the schedule over it. `wall` is the time on the wall."""

    def __init__(self, folder: Path, settings: Settings, pool: WorkerPool, store: Store) -> None:
        self.folder, self.settings, self.pool, self.store = folder, settings, pool, store
        self.wall: Micros = START
        self.specs = StoredSpecs(spec_parts)
        self.recorder = Recorder(settings)
        self.references = References(settings.models, store, pool, spec_of)
        self.evaluator = Evaluator(settings, store, pool, self.specs, self.recorder, lambda: self.wall, Event())
        self._offset = {"predictions": 0, "labels": 0}
        self._furthest: dict[str, Micros] = {}

    @property
    def model(self) -> Any:
        return self.settings.models[MODEL]

    def predict(self, frame: pd.DataFrame, version: str = "") -> None:
        """One checkpoint with these rows, and their predictions kept for labels."""
        pane = pane_length(self.model.window)
        at = frame["ts"].dt.tz_convert(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
        with self.store.write() as conn:
            spec_hash = [one for one in specs.active(conn, MODEL) if one.from_pane <= at.min()][-1].spec_hash
            body = specs.load_spec(conn, spec_hash)
            assert body is not None
            layout = Spec.from_bytes(body).layout
            rows, encoder = encode_frame(frame, layout, at)
            offsets = self._offset["predictions"] + np.arange(len(frame))
            ids = frame["id"].to_numpy(dtype=object)
            rows = replace(rows, identity=hash_ids(list(ids)), ids=ids, topic=TOPIC, offset=offsets)
            for start in np.unique(at // pane * pane).tolist():
                part = rows.take(at // pane * pane == start)
                sample = Sample.of(layout, part, encoder)
                panes.add_partial(
                    conn,
                    MODEL,
                    version,
                    start,
                    spec_hash,
                    rows=len(part),
                    profile=Profile.of(layout, part, encoder).to_bytes(),
                    sample=sample.to_bytes(),
                    kth_hash=sample.kth_hash,
                    min_event_time=int(part.event_time.min()),
                    max_event_time=int(part.event_time.max()),
                    now=self.wall,
                )
            if self.model.labels is not None:
                predictions.add_predictions(
                    conn,
                    MODEL,
                    id_hash=[int(value) for value in rows.identity],
                    event_time=at.tolist(),
                    partition=[0] * len(frame),
                    offset=offsets.tolist(),
                    version=[version] * len(frame),
                    prediction=frame["prediction"].tolist(),
                    segments=["{}"] * len(frame),
                    pane=pane,
                )
        self.read_on("predictions", len(frame), int(at.max()))

    def label(self, frame: pd.DataFrame, *, until: Micros) -> None:
        """One checkpoint with the labels of these rows, each an hour after its prediction; read up to `until`."""
        with self.store.write() as conn:
            at = frame["ts"].dt.tz_convert(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
            labels.add_labels(
                conn,
                MODEL,
                id_hash=[int(value) for value in hash_ids(frame["id"].tolist())],
                time=(at + DAY // 24).tolist(),
                partition=[0] * len(frame),
                offset=(self._offset["labels"] + np.arange(len(frame))).tolist(),
                label=frame["label"].tolist(),
            )
        self.read_on("labels", len(frame), until)

    def read_on(self, role: str, rows: int, until: Micros, *, waiting: int = 0, at_end: bool = False) -> None:
        """Moves the one partition of a role on; `waiting` records are left in it."""
        topic = TOPIC if role == "predictions" else "orders.labels"
        self._offset[role] += rows
        furthest = self._furthest[role] = max(until, self._furthest.get(role, until))
        end = self._offset[role] + waiting
        with self.store.write() as conn:
            checkpoint = positions.next_checkpoint(conn)
            place = ("cluster", topic, "topic-id", 0)
            positions.save_partitions(
                conn,
                [Partition(*place, furthest, furthest, end, self.wall, checkpoint, end if at_end else None)],
            )
            own = self._furthest[role] if rows or role == "predictions" else furthest
            put_position(
                conn, Position(MODEL, role, *place, self._offset[role], own, self.wall if rows else self._last(conn))
            )

    def ignore(self, messages: int) -> None:
        """Reads predictions of which none is this model's."""
        self._offset["predictions"] += messages
        with self.store.write() as conn:
            place = ("cluster", TOPIC, "topic-id", 0)
            put_position(conn, Position(MODEL, "predictions", *place, self._offset["predictions"]))

    def _last(self, conn: Any) -> Micros | None:
        known = positions.load_positions(conn, MODEL)
        return next((one.last_record_time for one in known if one.topic == TOPIC), None)

    def results(self, **asked: Any) -> list[ResultRow]:
        with self.store.read() as conn:
            return list(results(conn, **asked))


@contextmanager
def world(folder: Path, pool: WorkerPool, changes: Mapping[str, Any] | None = None) -> Iterator[World]:
    """A world in a folder, with its reference read."""
    settings = configuration(folder, **(changes or {}))
    with Store.open(folder / "driftd.db", writer=True) as store:
        made = World(folder, settings, pool, store)
        made.references.refresh(made.wall)
        yield made
