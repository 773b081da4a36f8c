"""A real model of the flights, served with and without a broken feature, and the labels that come later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from deploy.demo.flights import FEATURES, DelayModel, train
from detectors.columns import PREDICTION, Role, infer_columns
from detectors.evaluation import QualityInput, evaluate_quality
from detectors.findings import FIRING, Finding
from detectors.instants import DAY
from detectors.reference import WindowLength, build_reference
from detectors.rules import Rules
from tests.benchmarks import data

METRIC = "mae"


@dataclass(frozen=True)
class Served:
    """The model in production, judged by its error: a reference of other days, and what the model now predicts."""

    model: DelayModel
    stored: bytes
    usual: float
    rules: Rules

    @classmethod
    def of(cls, days: Sequence[pd.DataFrame], rules: Rules) -> Served:
        """A model trained on these days, and a reference of them with predictions of models that did not know them."""
        first = data.START - len(days) * DAY
        whole = pd.concat([day.assign(at=first + i * DAY + day["at"]) for i, day in enumerate(days)], ignore_index=True)
        whole["departure"] = pd.to_datetime(whole["at"], unit="us", utc=True)
        model, frame = train(whole)
        instants = frame["ts"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
        reference = build_reference(
            frame,
            infer_columns(frame, roles={PREDICTION: Role.PREDICTION}, declared={}, exclude=("ts", "label")),
            event_time=instants,
            label="label",
            window=WindowLength(DAY, DAY),
            segment_by=(),
            task=rules.task,
        )
        return cls(model, reference.to_bytes(), reference.quality[METRIC].value, rules)

    def serve(self, day: pd.DataFrame, broken: float, seed: int, *, newer: float = 0.0) -> pd.DataFrame:
        """The day's predictions beside their labels, by version: 7, and for a share of `newer` rows 8.

        The delay at departure is unknown to the model in a share of `broken` rows; where there are two versions in the
        rows of version 8 alone.
        """
        rng = np.random.default_rng(seed)
        day = day[day["arr_delay"].notna()]
        version = np.where(rng.random(len(day)) < newer, "8", "7")
        hit = (rng.random(len(day)) < broken) & ((version == "8") if newer else True)
        seen = day[[*FEATURES]].assign(dep_delay=day["dep_delay"].where(~hit))
        return pd.DataFrame(
            {"version": version, "prediction": self.model.predict(seen), "label": day["arr_delay"].to_numpy()}
        )

    def judge(self, served: pd.DataFrame, number: int) -> tuple[Finding, ...]:
        """The findings of one day's quality."""
        table = pa.Table.from_pandas(served, preserve_index=False)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        start = data.START + number * DAY
        rows = len(served)
        frame = sink.getvalue().to_pybytes()
        return evaluate_quality(
            QualityInput(start, start + DAY, self.stored, self.rules, frame, expected=rows, joined=rows)
        ).findings


def degraded(findings: Sequence[Finding], version: str | None = None) -> bool:
    """Whether the error of the model, or of one version, is told to be worse."""
    return any(f.metric == METRIC and f.version == version and f.verdict in FIRING for f in findings)


def error_of(served: pd.DataFrame) -> float:
    """The mean absolute error."""
    return float((served["prediction"] - served["label"]).abs().mean())
