"""Reading a reference file and building the reference from it; runs in a worker process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from daemon.config.vocabulary import CATEGORICAL, NUMERIC, kinds_of_method, methods_for
from daemon.schedule.tasks import BuiltReference, ReadRequest
from detectors.columns import LIST_LENGTH, Column, ColumnType, Role, canonical_frame, infer_columns
from detectors.errors import MissingColumn, ReferenceRejected, UnsuitableMethod, UnusableColumn, UnusableEventTime
from detectors.instants import DAY, Micros
from detectors.predicted import MAX_ITEMS, drawn_item, items_of, items_text, scores_text
from detectors.quality.rows import RECOMMENDATION
from detectors.reference import WindowLength, build_reference
from detectors.rows import hash_ids

UNITS: Mapping[str, Micros] = {"s": 1_000_000, "ms": 1_000, "us": 1}
GAP_QUANTILE = 0.98
SCORES = "_scores"
ITEMS = "_items"


def read_reference(request: ReadRequest) -> BuiltReference:
    """The reference that a file holds.

    Raises ReferenceRejected when the file cannot be read, has no rows, or lacks a column.
    """
    return reference_of(_read(request.path), request)


def reference_of(
    file: pd.DataFrame, request: ReadRequest, sampled: Mapping[Micros, int] | None = None
) -> BuiltReference:
    """The reference that a file's rows make.

    Where they are a sample, `sampled` has the rows that each of their windows really had, by its start; then how long
    rows stay away is not known either. Raises ReferenceRejected when a column is not there or not usable,
    UnsuitableMethod when one turns out to be of a type that its method is not for.
    """
    if request.task == RECOMMENDATION:
        file = unfolded(file, request)
    ignored = (request.timestamp, request.label, request.scores, *request.ignored)
    dropped = {name for name in ignored if name in file.columns}
    for name in request.required:
        if name not in file.columns:
            raise MissingColumn(f"{request.path} has no column {name!r}; it has {', '.join(map(repr, file.columns))}")
    event_time = None
    if request.timestamp in file.columns:
        event_time = event_times(file[request.timestamp], request.timestamp_unit)
    label = request.label if request.label in file.columns else None
    kept = [name for name in file.columns if name not in dropped or name == label]
    items = ITEMS if ITEMS in file.columns else None
    if request.features is not None:
        wanted = {*request.features, request.prediction, request.score, label, LIST_LENGTH, ITEMS}
        kept = [name for name in kept if name in wanted]
    frame, roles = canonical_frame(file[kept], prediction=request.prediction, score=request.score)
    scores = None
    if request.scores in file.columns:
        scores = SCORES
        texts = pd.Series([scores_text(value) for value in file[request.scores]], index=frame.index, dtype=object)
        frame = frame.assign(**{SCORES: texts})
    if items is not None:
        roles[LIST_LENGTH] = Role.PREDICTION
    columns = infer_columns(
        frame,
        roles=roles,
        declared={name: ColumnType(kind) for name, kind in request.declared.items()},
        exclude={*request.exclude, SCORES, ITEMS, *([label] if label else [])},
    )
    _check_methods(columns, request.methods)
    reference = build_reference(
        frame,
        columns,
        event_time=event_time,
        label=label,
        window=WindowLength(request.size, request.every),
        segment_by=request.segment_by,
        task=request.task,
        positive_label=request.positive_label,
        scores=scores,
        items=items,
        k=request.k,
        max_segments=request.max_segments,
        sampled=sampled,
    )
    return BuiltReference(
        hash=reference.hash,
        layout=reference.layout.to_bytes(),
        layout_hash=reference.layout.hash,
        body=reference.to_bytes(),
        rows=len(frame),
        event_times=event_time is not None,
        usual_gap=None if event_time is None or sampled is not None else usual_gap(event_time),
    )


def _check_methods(columns: Iterable[Column], methods: Mapping[str, str]) -> None:
    """Whether each column has a type that its method is for; raises UnsuitableMethod with those that would do."""
    for column in columns:
        method = methods.get(column.name)
        kinds = None if method is None or column.id_like else kinds_of_method(method)
        kind = NUMERIC if column.type is ColumnType.NUMERIC else CATEGORICAL
        if kinds is not None and kind not in kinds:
            raise UnsuitableMethod(
                f"columns.overrides.{column.name}.method: {method} is for {kinds[0]} columns, and {column.name!r} is "
                f"{column.type} ({column.reason}); for those are {', '.join(methods_for(kind))}"
            )


def unfolded(file: pd.DataFrame, request: ReadRequest) -> pd.DataFrame:
    """A recommender's reference with its lists unfolded as those of messages are.

    The prediction becomes one drawn item of each list, beside it stand the list's length and the whole list as JSON
    text; the label becomes the list of the items taken, as JSON text: none where it is missing, one where it is a
    single item. Lists may be stored as lists or as JSON text.
    Raises MissingColumn and UnusableColumn.
    """
    if request.prediction is None or request.prediction not in file.columns:
        raise MissingColumn(
            f"{request.path} has no column {request.prediction!r} of the lists that were shown: name the right one "
            "under reference.fields.prediction"
        )
    for name in (ITEMS, LIST_LENGTH):
        if name in file.columns:
            raise UnusableColumn(f"{request.path} has a column {name!r}, the name of one that driftd makes: rename it")
    lists = [items_of(_list(value)) for value in file[request.prediction]]
    lists = [items if items is None else items[:MAX_ITEMS] for items in lists]
    if all(items is None for items in lists):
        raise UnusableColumn(f"{request.path} has no list of items in its column {request.prediction!r}")
    texts = [None if items is None else items_text(items) for items in lists]
    made = {
        request.prediction: [
            None if items is None else drawn_item(items, number)
            for items, number in zip(lists, _identities(file, request, texts), strict=True)
        ],
        ITEMS: texts,
    }
    if request.label in file.columns and request.label is not None:
        made[request.label] = [items_text(_taken(value)) for value in file[request.label]]
    lengths = pd.Series([np.nan if items is None else float(len(items)) for items in lists], index=file.index)
    columns = {name: pd.Series(values, index=file.index, dtype=object) for name, values in made.items()}
    return file.assign(**columns, **{LIST_LENGTH: lengths})


def _identities(file: pd.DataFrame, request: ReadRequest, texts: list[str | None]) -> list[int]:
    """What the draws go by: the ids; without them each row's time and list, and for equal ones their number."""
    if request.id in file.columns:
        return [int(value) for value in hash_ids([str(value) for value in file[request.id]])]
    times = file[request.timestamp].astype(str) if request.timestamp in file.columns else [""] * len(file)
    names = pd.Series([f"{time} {text}" for time, text in zip(times, texts, strict=True)])
    numbers = names.groupby(names).cumcount()
    return [int(value) for value in hash_ids([f"{name} {n}" for name, n in zip(names, numbers, strict=True)])]


def _list(value: object) -> object:
    """A stored list as a list: Parquet gives arrays, CSV gives JSON text."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, str) and value.startswith("["):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return None
    return value


def _taken(value: object) -> list[str]:
    """The items that one row of a reference took."""
    found = _list(value)
    if isinstance(found, list):
        return items_of(found) or []
    return [] if found is None or found != found else items_of([found]) or []


def _read(path: Path) -> pd.DataFrame:
    frame = _read_any(path)
    if not len(frame.columns):
        raise ReferenceRejected(f"{path} has no column")
    return frame


def _read_any(path: Path) -> pd.DataFrame:
    if path.is_dir():
        raise ReferenceRejected(f"{path} is a folder: name one file in it")
    try:
        match path.suffix.lower():
            case ".parquet" | ".pq":
                return pd.read_parquet(path)
            case ".csv":
                return pd.read_csv(path)
    except FileNotFoundError:
        raise ReferenceRejected(f"{path} does not exist") from None
    except MemoryError:
        raise ReferenceRejected(f"{path} does not fit into memory") from None
    except Exception as error:  # every reader has its own errors: all of them mean that the file cannot be used
        first = str(error).partition("\n")[0]
        raise ReferenceRejected(f"{path} cannot be read: {first or type(error).__name__}") from error
    raise ReferenceRejected(f"{path} ends in neither .parquet nor .csv")


def event_times(column: pd.Series, unit: str) -> NDArray[np.int64]:
    """A file's column of instants as microseconds; numbers count in `unit`, text is RFC 3339.

    Raises UnusableEventTime when a value is missing or cannot be read.
    """
    if column.isna().any():
        raise UnusableEventTime(f"{int(column.isna().sum())} rows have no value in {column.name!r}, the event time")
    if pd.api.types.is_numeric_dtype(column.dtype):
        if unit == "rfc3339":
            raise UnusableEventTime(
                f"{column.name!r} holds numbers, but predictions.timestamp_unit is rfc3339: say whether they count "
                "s, ms, us or ns, or store the column as timestamps"
            )
        if unit == "ns":
            return column.to_numpy(dtype=np.int64) // 1_000
        return np.round(column.to_numpy(dtype=np.float64) * UNITS[unit]).astype(np.int64)
    try:
        instants = pd.to_datetime(column, utc=True)
    except (ValueError, TypeError) as error:
        raise UnusableEventTime(f"{column.name!r} holds what is no time: {error}") from error
    return instants.dt.tz_convert(None).to_numpy(dtype="datetime64[us]").astype(np.int64)


def usual_gap(event_time: NDArray[np.int64]) -> Micros | None:
    """How long rows stay away on an ordinary day: the 98th percentile of each day's longest gap.

    A day is one that has rows, and a gap belongs to the day on which it begins; so a free weekend counts, a single
    outage in two months does not. None with fewer than two rows.
    """
    if len(event_time) < 2:
        return None
    times = np.sort(event_time)
    gaps = np.diff(times)
    _, first = np.unique(times[:-1] // DAY, return_index=True)
    longest = np.maximum.reduceat(gaps, first)
    return int(np.quantile(longest, GAP_QUANTILE, method="higher"))
