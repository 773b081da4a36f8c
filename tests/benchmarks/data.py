"""Made-up prediction logs: 20 numeric and 10 categorical features in messages of 640 bytes, the same for a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from detectors.columns import Column, Role, infer_columns
from detectors.instants import DAY, Micros

NUMERIC, CATEGORICAL = 20, 10
MESSAGE_BYTES = 640
START: Micros = 1_735_689_600_000_000
"""The first instant of 2025: live rows begin here, references end here."""
REFERENCE_DAYS = 28
VERSION = "7"
OUT_OF_RANGE = 1e6
"""A value of a broken sensor: no row that is made here comes near it."""

_DISTINCT = (2, 3, 5, 8, 12, 20, 40, 80, 150, 300)


def features(rows: int, seed: int) -> pd.DataFrame:
    """The features of some predictions: names num_00 .. num_19, and cat_0 .. cat_9 with text.

    Normal, long-tailed, and whole-numbered columns, one of them with missing values; categories of which a few are
    common and many rare.
    """
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for i in range(NUMERIC):
        match i % 4:
            case 0:
                values = rng.normal(20.0 + i, 5.0, rows).round(4)
            case 1:
                values = rng.lognormal(1.0, 0.8, rows).round(4)
            case 2:
                values = rng.poisson(3.0 + i, rows).astype(np.float64)
            case _:
                values = rng.uniform(0.0, 1000.0, rows).round(2)
        columns[f"num_{i:02}"] = values
    columns["num_03"] = np.where(rng.random(rows) < 0.02, np.nan, columns["num_03"])
    for i, distinct in enumerate(_DISTINCT):
        share = 1.0 / np.arange(1, distinct + 1)
        texts = np.array([f"kind-{value}" for value in range(distinct)], dtype=object)
        columns[f"cat_{i}"] = texts[np.searchsorted(np.cumsum(share / share.sum())[:-1], rng.random(rows))]
    return pd.DataFrame(columns)


def predictions(rows: int, seed: int) -> pd.DataFrame:
    """The features and what a model made of them, under the names of a reference file."""
    frame = features(rows, seed)
    noise = np.random.default_rng(seed + 1_000_003).normal(0.0, 1.0, rows)
    return frame.assign(prediction=(0.5 * frame["num_00"] + frame["num_01"] + noise).round(4))


def reference(rows: int, seed: int = 0, span: Micros = REFERENCE_DAYS * DAY) -> pd.DataFrame:
    """A reference file's rows: predictions spread evenly over a time that ends at START, with their time."""
    times = START - span + np.arange(rows) * span // rows
    return predictions(rows, seed).assign(ts=pd.to_datetime(times, unit="us", utc=True))


def columns_of(frame: pd.DataFrame) -> tuple[Column, ...]:
    """The columns of `predictions`, typed."""
    return infer_columns(frame, roles={"prediction": Role.PREDICTION}, declared={}, exclude=("ts",))


def messages(
    frame: pd.DataFrame, times: np.ndarray, first: int = 0, models: Sequence[str] | None = None
) -> Iterator[bytes]:
    """Each row as a JSON message of exactly 640 bytes; `times` are the event times in microseconds, `first`
    is the number of the first row.

    `models` has the model's name for each row, where a topic is shared. A field that nobody asked for fills the message
    up.
    """
    encode = msgspec.json.Encoder().encode
    names = [str(name) for name in frame.columns if name != "prediction"]
    plain = [[None if value != value else value for value in frame[name].tolist()] for name in names]
    for number, (time, prediction, *row) in enumerate(
        zip(_stamps(times), frame["prediction"].tolist(), *plain, strict=True), first
    ):
        body: dict[str, Any] = {
            "id": prediction_id(number),
            "ts": time,
            "model_version": VERSION,
            "prediction": prediction,
            "features": dict(zip(names, row, strict=True)),
        }
        if models is not None:
            body["model"] = models[number - first]
        text = encode(body)
        padding = b"x" * (MESSAGE_BYTES - len(text) - len(b',"trace":""'))
        yield b'%s,"trace":"%s"}' % (text[:-1], padding)


def labels(frame: pd.DataFrame, times: np.ndarray) -> Iterator[bytes]:
    """The ground truth of each row as a JSON message."""
    encode = msgspec.json.Encoder().encode
    for number, (time, prediction) in enumerate(zip(_stamps(times), frame["prediction"].tolist(), strict=True)):
        yield encode({"id": prediction_id(number), "ts": time, "label": prediction})


def _stamps(times: np.ndarray) -> list[str]:
    return [f"{text}Z" for text in np.datetime_as_string(times.astype("datetime64[us]")).tolist()]


def prediction_id(number: int) -> str:
    """The id of the prediction of that number, in the form of a UUID."""
    text = f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
