"""Frames of every kind of column, and their rows as the stream encodes them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from detectors.columns import infer_columns
from detectors.layout import Layout, build_layout
from detectors.rows import Encoder, Rows, hash_ids


def mixed_frame(rows: int, seed: int = 0, *, shift: float = 0.0) -> pd.DataFrame:
    """A heavy-tailed, a normal, an integer, a categorical, a boolean and a constant column, some values missing."""
    random = np.random.default_rng(seed)
    normal = random.normal(shift, 1.0, rows)
    normal[random.random(rows) < 0.05] = np.nan
    return pd.DataFrame(
        {
            "heavy": np.exp(2.0 * random.normal(size=rows)),
            "normal": normal,
            "whole": random.poisson(4.0, rows).astype(np.float64),
            "kind": pd.Series(
                random.choice(["a", "b", "c", "d", None], rows, p=[0.5, 0.3, 0.1, 0.05, 0.05]), dtype=object
            ),
            "flag": random.random(rows) < 0.3,
            "constant": np.full(rows, 3.0),
        }
    )


def mixed_layout(segment_by: tuple[tuple[str, ...], ...] = (("kind",), ("flag", "whole"))) -> Layout:
    """The layout of 3,000 rows of `mixed_frame`."""
    frame = mixed_frame(3_000)
    return build_layout(frame, infer_columns(frame, roles={}, declared={}, exclude=()), segment_by=segment_by)


def encoded(frame: pd.DataFrame, encoder: Encoder, *, first: int = 0, topic: str = "t", partition: int = 0) -> Rows:
    """The frame's rows, numbered from `first`."""
    n = len(frame)
    ids = np.array([f"p{first + i}" for i in range(n)], dtype=object)
    return Rows(
        identity=hash_ids(ids.tolist()),
        ids=ids,
        event_time=np.arange(first, first + n, dtype=np.int64),
        topic=topic,
        partition=np.full(n, partition, dtype=np.int32),
        offset=np.arange(first, first + n, dtype=np.int64),
        values={
            column.name: encoder.encode(column.name, frame[column.name].astype(object).tolist())
            for column in encoder.layout.columns
        },
        mistyped={},
    )
