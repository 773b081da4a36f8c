"""The verdict on one window, merged from its partials, beside Evidently's DataDriftPreset on the same rows."""

from __future__ import annotations

import os
import statistics
import warnings
from collections.abc import Callable, Iterator

import pandas as pd

from detectors.evaluation import DriftInput, evaluate_drift
from detectors.layout import Layout
from tests.benchmarks import data
from tests.benchmarks.machine import peer
from tests.benchmarks.registry import Figure, Run, Target, benchmark
from tests.benchmarks.timing import median_seconds, seconds
from tests.benchmarks.windows import built_reference, partial, window_input

REFERENCE_ROWS = 100_000
ROWS = 100_000
MANY_ROWS = 10_000_000
PARTIALS = 60
CHUNK = 100_000
"""Rows that are in memory at once while the large window's partials are made."""
ROUNDS = 3
REPEATS = 9


@benchmark("verdict", "the verdict on a window of 100,000 rows x 30 features, beside Evidently's DataDriftPreset")
def measure(run: Run) -> Iterator[Figure]:
    run.say(f"making a reference and a window of {ROWS:,} rows, as {PARTIALS} partials")
    before = data.reference(REFERENCE_ROWS)
    reference = built_reference(before)
    stored = reference.to_bytes()
    now = data.predictions(ROWS, seed=1)
    window = input_of(reference.layout, stored, [now])

    cold = seconds(lambda: evaluate_drift(window))
    run.say("Evidently's DataDriftPreset on the same rows, in turn")
    evidently = evidently_preset(before.drop(columns="ts"), now)
    pairs = []
    for _ in range(ROUNDS):
        theirs = seconds(evidently)
        pairs.append((median_seconds(lambda: evaluate_drift(window), REPEATS), theirs))
    ours = statistics.median(pair[0] for pair in pairs)
    yield Figure(
        case=f"{ROWS:,} rows x {now.shape[1]} columns, {PARTIALS} partials",
        unit="s",
        driftd=ours,
        peer=f"{peer('evidently')} DataDriftPreset",
        peer_value=statistics.median(pair[1] for pair in pairs),
        ratio=statistics.median(theirs / own for own, theirs in pairs),
        target=Target(at_least=100),
        details={
            "first_evaluation_of_a_worker": cold,
            "ratio_of_the_first": statistics.median(theirs for _, theirs in pairs) / cold,
            "reference_rows": REFERENCE_ROWS,
            "bytes_of_partials": sum(map(len, window.partials[data.VERSION])),
            "findings": len(evaluate_drift(window).findings),
        },
    )

    run.say(f"making a window of {MANY_ROWS:,} rows, chunk by chunk")
    chunks = MANY_ROWS // CHUNK
    large = input_of(reference.layout, stored, (data.predictions(CHUNK, seed=2 + i) for i in range(chunks)))
    pairs = [
        (
            median_seconds(lambda: evaluate_drift(large), REPEATS),
            median_seconds(lambda: evaluate_drift(window), REPEATS),
        )
        for _ in range(ROUNDS)
    ]
    yield Figure(
        case=f"{MANY_ROWS:,} rows against {ROWS:,}",
        unit="s",
        driftd=statistics.median(pair[0] for pair in pairs),
        peer=f"driftd at {ROWS:,} rows",
        peer_value=statistics.median(pair[1] for pair in pairs),
        ratio=statistics.median(many / few for many, few in pairs),
        target=Target(at_most=2),
        details={
            "partials": len(large.partials[data.VERSION]),
            "bytes_of_partials": sum(map(len, large.partials[data.VERSION])),
        },
    )


def input_of(layout: Layout, reference: bytes, frames: Iterator[pd.DataFrame] | list[pd.DataFrame]) -> DriftInput:
    """The rows of the frames, in order, as the input of one window with `PARTIALS` partials at least."""
    profiles, samples, first = [], [], 0
    for frame in frames:
        pieces = PARTIALS if isinstance(frames, list) else 1
        for at in range(pieces):
            piece = frame.iloc[len(frame) * at // pieces : len(frame) * (at + 1) // pieces]
            profile, sample = partial(layout, piece, first)
            profiles.append(profile)
            samples.append(sample)
            first += len(piece)
    return window_input(reference, profiles, samples, data.START)


def evidently_preset(before: pd.DataFrame, now: pd.DataFrame) -> Callable[[], object]:
    """One run of the preset over two frames, with everything prepared that Evidently lets one prepare."""
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

    text = [str(name) for name in now.columns if not pd.api.types.is_numeric_dtype(now[name])]
    definition = DataDefinition(
        numerical_columns=[str(name) for name in now.columns if name not in text], categorical_columns=text
    )
    datasets = [Dataset.from_pandas(frame, data_definition=definition) for frame in (now, before)]

    def run() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Report([DataDriftPreset()]).run(*datasets).dict()

    return run
