"""The reference: the rows that windows are held against, with their layout, profile and own variation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.columns import PREDICTION, SCORE, Column, ColumnType, Role
from detectors.coordinates import Coordinates, Values
from detectors.distances import coarse_positions
from detectors.errors import CorruptBlob, EmptyReference, MissingColumn, UnusableColumn, UnusableEventTime
from detectors.estimation.learning import Estimation, learned_estimation
from detectors.frames import encode_frame, event_times, plain_values, read_stored_rows, stored_rows
from detectors.instants import Micros
from detectors.layout import Layout, NumericLayout, build_layout
from detectors.own_windows import distance_floors, new_values, own_windows, spread, vector_of, window_numbers
from detectors.packing import pack, unpack
from detectors.profile import Profile
from detectors.quality import TASKS, Logged, QualityFloor, Terms, quality_floors, read_rows
from detectors.quality.classes import MAX_CLASSES, class_texts
from detectors.quality.requests import Catalogue, catalogue_of
from detectors.quality.rows import BINARY, MULTICLASS, RECOMMENDATION
from detectors.usual import UsualRows, usual_counts, usual_rows
from detectors.variation import Variation, WindowVector

__all__ = ["Reference", "UsualRows", "WindowLength", "build_reference", "event_times", "window_vector"]

PROFILED_WINDOWS = 60
"""So many windows keep their profile, evenly spread: the noise floor of every method is measured on them."""
UNSEEN_LIMIT = 0.05
"""A categorical column of which ordinary windows bring more new values than this share is id-like."""
_KIND = b"R\x02"
_VERSION = 2


@dataclass(frozen=True, slots=True)
class WindowLength:
    """How long windows are and how often one ends, in microseconds."""

    size: Micros
    every: Micros


@dataclass(frozen=True, eq=False, repr=False)
class Reference:
    """The rows that windows are held against; a later stage reads nothing else of the reference.

    `rows` counts all rows, `stored` holds at most 20,000 of them: the columns by name (numbers as float64, categories
    as text), and `_event_time` and `_label` where there were such columns. `windows` are its own windows in order of
    time, empty without event times. `unseen_rates` is the share of rows with a value that no other window had.
    `classes` are those of a multiclass model, predicted or true, in order of their texts; `catalogue` is what a
    recommender showed. `estimation` is what its labels taught about quality before labels.
    """

    hash: str
    layout: Layout
    profile: Profile
    columns: tuple[Column, ...]
    rows: int
    window: WindowLength
    task: str
    usual_rows: UsualRows | None
    unseen_rates: Mapping[str, float]
    quality: Mapping[str, QualityFloor]
    classes: tuple[str, ...]
    catalogue: Catalogue
    estimation: Estimation
    _blobs: tuple[bytes, bytes, bytes, bytes, bytes]

    @property
    def sample(self) -> pd.DataFrame:
        """The stored rows."""
        return self._stored.copy(deep=False)

    @cached_property
    def _stored(self) -> pd.DataFrame:
        return read_stored_rows(self._blobs[0])

    @cached_property
    def windows(self) -> tuple[WindowVector, ...]:
        """One vector for each of the reference's own windows, in order of time."""
        return tuple(WindowVector.from_bytes(data) for data in msgspec.msgpack.decode(self._blobs[1]))

    @cached_property
    def window_profiles(self) -> tuple[Profile, ...]:
        """The profiles of at most 60 of the reference's own windows, evenly spread, without segments."""
        return tuple(Profile.from_bytes(self.layout, data) for data in msgspec.msgpack.decode(self._blobs[2]))

    @cached_property
    def variation(self) -> Variation:
        """The variation between the reference's own windows."""
        return Variation.from_bytes(self._blobs[3])

    @cached_property
    def floors(self) -> NDArray[np.float64]:
        """For each column the 95th percentile of the `auto` distance over the reference's own windows, or NaN."""
        return np.frombuffer(self._blobs[4], dtype="<f8")

    @cached_property
    def coordinates(self) -> Coordinates:
        """The coordinates that windows are tested in."""
        return Coordinates(self.layout, self.profile)

    @cached_property
    def segment_values(self) -> Values:
        """The coordinates of every segment of the reference."""
        return self.coordinates.of_segments(self.profile)

    def coarse_positions(self, column: str) -> NDArray[np.float64]:
        """The coarse cell positions of a numeric column, as `coarse_positions` of this reference's counts."""
        found = self._coarse_positions.get(column)
        if found is None:
            at = self.layout.column(column)
            if not isinstance(at, NumericLayout):
                raise TypeError(f"column {column!r} is {at.type}: its cells have no positions")
            found = self._coarse_positions[column] = coarse_positions(at, self.profile.counts(column))
        return found

    @cached_property
    def _coarse_positions(self) -> dict[str, NDArray[np.float64]]:
        return {}

    def noise_floor(self, method: str, column: str, measure: Callable[[Profile], float]) -> float | None:
        """The 95th percentile of a method's value over the reference's own windows; None without windows.

        `measure` gives the value of one window's profile; results are remembered by (reference, method, column) in
        this process.
        """
        key = (self.hash, method, column)
        if key not in _FLOORS:
            values = [measure(profile) for profile in self.window_profiles]
            finite = [value for value in values if np.isfinite(value)]
            while len(_FLOORS) >= 10_000:
                _FLOORS.pop(next(iter(_FLOORS)))
            _FLOORS[key] = float(np.quantile(finite, 0.95)) if finite else None
        return _FLOORS[key]

    def to_bytes(self) -> bytes:
        """The reference as a versioned, compressed blob."""
        return pack(_KIND, [self._head, self.layout.to_bytes(), self.profile.to_bytes(), *self._blobs])

    @cached_property
    def _head(self) -> bytes:
        return msgspec.msgpack.encode(
            {
                "hash": self.hash,
                "columns": self.columns,
                "rows": self.rows,
                "window": self.window,
                "task": self.task,
                "usual_rows": self.usual_rows,
                "unseen_rates": dict(sorted(self.unseen_rates.items())),
                "quality": dict(sorted(self.quality.items())),
                "classes": self.classes,
                "catalogue": self.catalogue,
                "estimation": self.estimation,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """The reference that `to_bytes` wrote; CorruptBlob when it is none."""
        head, layout_bytes, profile, *blobs = unpack(_KIND, data, 8)
        try:
            fields = msgspec.msgpack.decode(head, type=_Head)
        except msgspec.DecodeError as error:
            raise CorruptBlob(f"a stored reference is damaged ({error}); restore the store from a backup") from error
        layout = Layout.from_bytes(layout_bytes)
        return cls(
            layout=layout,
            profile=Profile.from_bytes(layout, profile),
            _blobs=(blobs[0], blobs[1], blobs[2], blobs[3], blobs[4]),
            **msgspec.structs.asdict(fields),
        )


class _Head(msgspec.Struct):
    hash: str
    columns: tuple[Column, ...]
    rows: int
    window: WindowLength
    task: str
    usual_rows: UsualRows | None
    unseen_rates: dict[str, float]
    quality: dict[str, QualityFloor]
    classes: tuple[str, ...] = ()
    catalogue: Catalogue = msgspec.field(default_factory=Catalogue)
    estimation: Estimation = msgspec.field(default_factory=Estimation)


_FLOORS: dict[tuple[str, str, str], float | None] = {}


def build_reference(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    *,
    event_time: NDArray[np.int64] | None,
    label: str | None,
    window: WindowLength,
    segment_by: Sequence[tuple[str, ...]],
    task: str,
    positive_label: str = "1",
    scores: str | None = None,
    items: str | None = None,
    k: int = 10,
    max_segments: int = 20,
    sampled: Mapping[Micros, int] | None = None,
) -> Reference:
    """The reference that a frame makes; `frame` carries canonical names, and is not changed.

    `event_time` has one entry a row, or is None; `label` names the column of ground truth, for the usual quality, and
    `scores` the one of a multiclass model's probabilities as JSON text, `items` the one of a recommender's lists as
    JSON text, of which `k` items are judged; its label then holds such lists too.
    Where the frame is a sample, `sampled` has the rows that each of its windows really had, by the window's start: then
    every window is whole, and none of them tells how many rows are usual by itself.
    Raises ReferenceRejected's kinds (EmptyReference, MissingColumn, UnusableColumn, UnusableEventTime).
    """
    frame = frame.reset_index(drop=True)
    _check(frame, columns, event_time, label)
    columns = [_as_task(column, frame[column.name], task) for column in columns]
    if event_time is not None:
        order = np.argsort(event_time, kind="stable")
        frame, event_time = frame.iloc[order].reset_index(drop=True), event_time[order]
    number = None if event_time is None else _windows(event_time, window.size, sampled)
    catalogue = Catalogue() if items is None else catalogue_of(plain_values(frame[items]).tolist(), k)
    terms = Terms(task, positive_label, k, _classes(frame, label, task), catalogue)
    rates: dict[str, float] = {}
    unseen: dict[str, NDArray[np.float64]] = {}
    for i, column in enumerate(columns):
        if column.type is ColumnType.CATEGORICAL and not column.id_like:
            rates[column.name], unseen[column.name] = new_values(frame[column.name], number)
            if rates[column.name] > UNSEEN_LIMIT and column.role is Role.FEATURE:
                text = f"{rates[column.name]:.0%} of rows bring a value not seen before, so id-like: no drift test"
                columns[i] = replace(column, id_like=True, reason=f"{column.reason}; {text}")
    layout = build_layout(frame, columns, segment_by=segment_by, max_segments=max_segments)
    rows, encoder = encode_frame(frame, layout, event_time)
    profile = Profile.of(layout, rows, encoder)
    coordinates = Coordinates(layout, profile)
    vectors, profiles = own_windows(rows, encoder, profile, coordinates, number, window.size, unseen)
    variation = Variation.of(vectors, coordinates.beta, list(coordinates.tests.values()), window.size)
    stored, row_hashes = stored_rows(frame, layout, event_time, label)
    blobs = (
        stored,
        msgspec.msgpack.encode([vector.to_bytes() for vector in vectors]),
        msgspec.msgpack.encode([part.to_bytes() for part in spread(profiles, PROFILED_WINDOWS)]),
        variation.to_bytes(),
        distance_floors(vectors, len(layout.columns)).astype("<f8").tobytes(),
    )
    return Reference(
        hash=_hash(layout, window, task, positive_label, k, row_hashes),
        layout=layout,
        profile=profile,
        columns=tuple(columns),
        rows=len(frame),
        window=window,
        task=task,
        usual_rows=_usual(event_time, number, window.size, sampled),
        unseen_rates=rates,
        quality=_quality(frame, label, scores, items, terms, number),
        classes=tuple(terms.classes),
        catalogue=catalogue,
        estimation=learned_estimation(
            frame,
            columns,
            labels=None if label is None else plain_values(frame[label]),
            scores=None if scores is None else plain_values(frame[scores]),
            terms=terms,
            window=number,
        ),
        _blobs=blobs,
    )


def _windows(event_time: NDArray[np.int64], size: Micros, sampled: Mapping[Micros, int] | None) -> NDArray[np.int64]:
    if not sampled:
        return window_numbers(event_time, size)
    return np.asarray(event_time // size - min(sampled) // size)


def _usual(
    event_time: NDArray[np.int64] | None,
    number: NDArray[np.int64] | None,
    size: Micros,
    sampled: Mapping[Micros, int] | None,
) -> UsualRows | None:
    if event_time is None or number is None:
        return None
    return usual_rows(event_time, number, size) if sampled is None else usual_counts(sampled, size)


def _hash(
    layout: Layout, window: WindowLength, task: str, positive_label: str, k: int, row_hashes: NDArray[np.uint64]
) -> str:
    """A function of what went in: the same with another version of a compressor, and in any order of rows."""
    settings = [layout.hash, window, task, positive_label, *([k] if task == RECOMMENDATION else [])]
    digest = sha256(msgspec.msgpack.encode([_VERSION, *settings]))
    digest.update(np.sort(row_hashes).astype("<u8").tobytes())
    return digest.hexdigest()


def _check(
    frame: pd.DataFrame, columns: Sequence[Column], event_time: NDArray[np.int64] | None, label: str | None
) -> None:
    if len(frame) == 0:
        raise EmptyReference("the reference has no rows: give a file with the rows that the model is held against")
    if not columns:
        raise UnusableColumn("the reference has no column to watch: every one is excluded")
    for column in columns:
        if column.name not in frame.columns:
            raise MissingColumn(f"the reference has no column {column.name!r}")
        if column.role is not Role.FEATURE and bool(frame[column.name].isna().all()):
            raise UnusableColumn(f"the reference's column {column.name!r} holds nothing but missing values")
    if label is not None:
        if label not in frame.columns:
            raise MissingColumn(f"the reference has no column {label!r} for the label: correct reference.fields.label")
        if bool(frame[label].isna().all()):
            raise UnusableColumn(f"the reference's label {label!r} is missing in every row: leave it out or fill it")
    if event_time is not None and len(event_time) != len(frame):
        raise UnusableEventTime(f"{len(event_time)} event times for {len(frame)} rows")


def _as_task(column: Column, series: pd.Series, task: str) -> Column:
    """A classifier's prediction that is stored as a number is a class: any one of a multiclass model, else 0 and 1."""
    if column.role is not Role.PREDICTION or column.type is not ColumnType.NUMERIC:
        return column
    if column.reason.startswith("declared"):
        return column
    if task == MULTICLASS:
        return replace(column, type=ColumnType.CATEGORICAL, reason="numbers, the classes of a multiclass model")
    if task == BINARY and set(pd.unique(series.dropna())) <= {0, 1}:
        return replace(column, type=ColumnType.CATEGORICAL, reason="0 and 1, the classes of a binary classification")
    return column


def window_vector(profile: Profile, reference: Reference, start: Micros, end: Micros) -> WindowVector:
    """A live window as a reference window: what `Noise.of` takes besides the reference's own."""
    return vector_of(profile, reference.profile, reference.coordinates, start, end)


def _classes(frame: pd.DataFrame, label: str | None, task: str) -> tuple[str, ...]:
    """The classes that a multiclass model predicted, and those of the labels."""
    if task != MULTICLASS:
        return ()
    columns = [frame[name] for name in (PREDICTION, label) if name is not None and name in frame.columns]
    classes = sorted({text for column in columns for text in class_texts(plain_values(column)) if text is not None})
    if len(classes) > MAX_CLASSES:
        raise UnusableColumn(
            f"the reference has {len(classes)} classes, and {MAX_CLASSES} are the limit of the task multiclass: "
            f"is {PREDICTION!r} a class? Without labels use the task none"
        )
    return tuple(classes)


def _quality(
    frame: pd.DataFrame,
    label: str | None,
    scores: str | None,
    items: str | None,
    terms: Terms,
    number: NDArray[np.int64] | None,
) -> dict[str, QualityFloor]:
    if label is None or terms.task not in TASKS:
        return {}
    named = (items or PREDICTION, SCORE, scores)
    given = [plain_values(frame[name]) if name is not None and name in frame.columns else None for name in named]
    if given[0] is None and given[1] is None:
        return {}
    read = read_rows(Logged(plain_values(frame[label]), *given), terms)
    return quality_floors(terms.task, read.rows, None if number is None else number[read.places])
