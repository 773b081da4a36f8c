"""Windows without a stream: a frame's rows as partials and as the input of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from detectors.evaluation import DriftInput
from detectors.frames import encode_frame
from detectors.instants import DAY, Micros
from detectors.layout import Layout
from detectors.profile import Profile
from detectors.reference import Reference, WindowLength, build_reference, event_times
from detectors.rows import hash_ids
from detectors.rules import Rules
from detectors.sample import Sample
from tests.benchmarks import data


def built_reference(frame: pd.DataFrame, *, every: Micros = DAY) -> Reference:
    """The reference of a frame that `data.reference` made, with windows of one day."""
    return build_reference(
        frame,
        data.columns_of(frame),
        event_time=event_times(frame, "ts"),
        label=None,
        window=WindowLength(DAY, every),
        segment_by=(),
        task="none",
    )


def partial(layout: Layout, frame: pd.DataFrame, first: int = 0) -> tuple[bytes, bytes]:
    """The profile and the sample of some rows, as a checkpoint stores them; `first` is the first row's number."""
    rows, encoder = encode_frame(frame.reset_index(drop=True), layout, None)
    ids = [data.prediction_id(first + number) for number in range(len(frame))]
    rows = replace(
        rows, identity=hash_ids(ids), ids=np.array(ids, dtype=object), topic="predictions", offset=rows.offset + first
    )
    return Profile.of(layout, rows, encoder).to_bytes(), Sample.of(layout, rows, encoder).to_bytes()


def window_input(reference: bytes, partials: Iterable[bytes], samples: Iterable[bytes], start: Micros) -> DriftInput:
    """The input of the verdict on a window of one day."""
    version = data.VERSION
    return DriftInput(start, start + DAY, reference, (), {version: (*partials,)}, {version: (*samples,)}, Rules())
