"""How it stays quiet: windows in which nothing has changed, and whether a change is found all the same."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from deploy.demo.flights import FEATURES, load_flights
from detectors.columns import infer_columns
from detectors.evaluation import DriftInput, evaluate_drift
from detectors.findings import Signal
from detectors.instants import DAY
from detectors.profile import Profile
from detectors.reference import Reference, WindowLength, build_reference, window_vector
from detectors.rules import Rules
from tests.benchmarks import data
from tests.benchmarks.machine import peer
from tests.benchmarks.registry import Figure, Run, benchmark
from tests.benchmarks.windows import partial

Frames = Sequence[pd.DataFrame]
REFERENCE_DAYS = (14, 28, 60)
NOISE_ROWS = (30, 100, 300, 1_000, 10_000)
NOISE_REFERENCE_ROWS = 28_000
SIGMAS = 3.0
CHANGED_MINUTES = 10.0
CHANGED_SHARE = 0.15
CHANGED_CARRIER = "UA"


@dataclass(frozen=True)
class Flagged:
    """For each judge and window the columns that were flagged."""

    driftd: list[set[str]]
    sigmas: list[set[str]]
    evidently: list[set[str]]


@benchmark("quiet", "how often it flags windows in which nothing has changed, and how often it finds a change at once")
def measure(run: Run) -> Iterator[Figure]:
    run.say("flights by day, in random order: whatever is flagged is a false alarm")
    days = flights_by_day()
    orders, windows = (5, 10**6) if run.full else (2, 60)
    for length in REFERENCE_DAYS:
        shuffled = [shuffled_days(days, seed) for seed in range(orders)]
        parts = [judged(order[:length], order[length : length + windows]) for order in shuffled]
        yield from _false_alarms(length, parts)
    length = REFERENCE_DAYS[1]
    run.say("the same days with a change in them")
    for case, change, column in (
        (f"+{CHANGED_MINUTES:g} min dep_delay", later, "dep_delay"),
        (f"{CHANGED_SHARE * 100:g} points of carrier", carried, "carrier"),
    ):
        order = shuffled_days(days, seed=0)
        changed = [change(day, seed) for seed, day in enumerate(order[length : length + windows])]
        yield from _found(case, length, column, judged(order[:length], changed))
    run.say("independent rows of one distribution")
    for rows in NOISE_ROWS:
        yield from _noise(rows, windows=200 if run.full else 30)


def flights_by_day() -> list[pd.DataFrame]:
    """The features of the flights that left on each day (UTC), and the microsecond of the day when each left."""
    flights = load_flights()
    instants = flights["departure"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
    frame = flights[[*FEATURES]].assign(at=instants % DAY)
    return [frame[instants // DAY == day].reset_index(drop=True) for day in np.unique(instants // DAY)[1:-1]]


def shuffled_days(days: Frames, seed: int) -> list[pd.DataFrame]:
    """The days in random order."""
    return [days[i] for i in np.random.default_rng(seed).permutation(len(days)).tolist()]


def later(day: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every flight leaves ten minutes later."""
    del seed
    return day.assign(dep_delay=day["dep_delay"] + CHANGED_MINUTES)


def carried(day: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One carrier has taken over 15 points of the day's flights from the others."""
    rng = np.random.default_rng(seed)
    others = np.flatnonzero((day["carrier"] != CHANGED_CARRIER).to_numpy())
    taken = rng.choice(others, min(len(others), round(CHANGED_SHARE * len(day))), replace=False)
    carrier = day["carrier"].to_numpy(dtype=object, copy=True)
    carrier[taken] = CHANGED_CARRIER
    return day.assign(carrier=carrier)


def judged(before: Frames, after: Frames, min_rows: int = 200) -> Flagged:
    """What each judge flags: days as a reference, and days as windows, each against the same rows."""
    reference = _reference(before)
    stored = reference.to_bytes()
    limits = _sigma_limits(reference)
    evidently = evidently_defaults(pd.concat(before, ignore_index=True).drop(columns="at"))
    found = Flagged([], [], [])
    for number, day in enumerate(after):
        start = data.START + number * DAY
        features = day.drop(columns="at")
        blob, _ = partial(reference.layout, features)
        rules = Rules(min_rows=min_rows)
        result = evaluate_drift(DriftInput(start, start + DAY, stored, (), {"": (blob,)}, {}, rules))
        found.driftd.append({str(f.column) for f in result.findings if f.flagged and f.signal is Signal.FEATURE_DRIFT})
        vector = window_vector(Profile.from_bytes(reference.layout, blob), reference, start, start + DAY)
        found.sigmas.append(
            {column.name for column, over in zip(reference.columns, vector.distance > limits, strict=True) if over}
        )
        found.evidently.append(evidently(features))
    return found


def _reference(before: Frames) -> Reference:
    times = [data.START - (len(before) - i) * DAY + day["at"].to_numpy() for i, day in enumerate(before)]
    frame = pd.concat(before, ignore_index=True).drop(columns="at")
    return build_reference(
        frame,
        infer_columns(frame, roles={}, declared={}, exclude=()),
        event_time=np.concatenate(times),
        label=None,
        window=WindowLength(DAY, DAY),
        segment_by=(),
        task="none",
    )


def _sigma_limits(reference: Reference) -> np.ndarray:
    """Mean plus three deviations of the distance between each of the reference's windows and the whole of it."""
    distances = np.stack([vector.distance for vector in reference.windows])
    return np.asarray(distances.mean(axis=0) + SIGMAS * distances.std(axis=0))


def evidently_defaults(before: pd.DataFrame) -> Callable[[pd.DataFrame], set[str]]:
    """The columns that Evidently's own choice of test and threshold flags in a window."""
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("evidently.legacy.calculations.stattests")
        choose: Any = import_module("evidently.legacy.calculations.stattests.registry").get_stattest
        kinds: Any = import_module("evidently.legacy.core").ColumnType
    kind_of = {
        str(name): kinds.Numerical if pd.api.types.is_numeric_dtype(before[name]) else kinds.Categorical
        for name in before.columns
    }
    usable = {name: before[name].dropna() for name in kind_of}

    def flagged(window: pd.DataFrame) -> set[str]:
        found = set()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, kind in kind_of.items():
                now = window[name].dropna()
                if choose(usable[name], now, kind, None)(usable[name], now, kind, None).drifted:
                    found.add(name)
        return found

    return flagged


def _false_alarms(length: int, parts: Sequence[Flagged]) -> Iterator[Figure]:
    own = [bool(columns) for part in parts for columns in part.driftd]
    for name, of_peer in (
        (f"{peer('evidently')} defaults", [bool(columns) for part in parts for columns in part.evidently]),
        ("mean + 3 sigma of the reference's distances", [bool(columns) for part in parts for columns in part.sigmas]),
    ):
        yield _shares(
            f"flights, reference of {length} days: windows with a flagged column", name, own, of_peer, fewer=True
        )


def _found(case: str, length: int, column: str, part: Flagged) -> Iterator[Figure]:
    own = [column in columns for columns in part.driftd]
    for name, of_peer in (
        (f"{peer('evidently')} defaults", [column in columns for columns in part.evidently]),
        ("mean + 3 sigma of the reference's distances", [column in columns for columns in part.sigmas]),
    ):
        yield _shares(
            f"flights, reference of {length} days, {case}: windows in which it is found",
            name,
            own,
            of_peer,
            fewer=False,
        )


def _noise(rows: int, windows: int) -> Iterator[Figure]:
    frame = data.features(NOISE_REFERENCE_ROWS, seed=rows)
    at = np.arange(len(frame)) % (NOISE_REFERENCE_ROWS // data.REFERENCE_DAYS)
    daily = NOISE_REFERENCE_ROWS // data.REFERENCE_DAYS
    frame = frame.assign(at=at * (DAY // daily))
    before = [frame.iloc[i : i + daily].reset_index(drop=True) for i in range(0, len(frame), daily)]
    after = [
        data.features(rows, seed=10_000 + rows + number).assign(at=0)
        for number in range(windows if rows < 10_000 else max(5, windows // 5))
    ]
    part = judged(before, after, min_rows=min(rows, 200))
    columns = data.NUMERIC + data.CATEGORICAL
    own = [place < len(flagged) for flagged in part.driftd for place in range(columns)]
    theirs = [place < len(flagged) for flagged in part.evidently for place in range(columns)]
    yield _shares(
        f"independent rows, {rows:,} in a window: columns flagged",
        f"{peer('evidently')} defaults",
        own,
        theirs,
        fewer=True,
    )


def _shares(case: str, name: str, own: Sequence[bool], of_peer: Sequence[bool], *, fewer: bool) -> Figure:
    ours, theirs = 100 * sum(own) / len(own), 100 * sum(of_peer) / len(of_peer)
    return Figure(
        case=case,
        unit="%",
        driftd=ours,
        peer=name,
        peer_value=theirs,
        # Half a case stands in for none.
        ratio=max(theirs, 50 / len(own)) / max(ours, 50 / len(own)) if fewer else ours / max(theirs, 50 / len(own)),
        details={"of": len(own)},
    )
