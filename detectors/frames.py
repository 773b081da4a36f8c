"""Data frames in and out: a reference's rows as event times, as encoded rows, and as the few that are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from detectors.errors import MissingColumn, UnusableEventTime
from detectors.instants import parse_rfc3339
from detectors.layout import CategoricalLayout, Layout
from detectors.rows import Encoder, Rows
from detectors.values import text_codes, text_hashes

STORED_ROWS = 20_000
"""So many of a reference's rows are kept, for exact values and Evidently."""
LABEL = "_label"
EVENT_TIME = "_event_time"


def event_times(frame: pd.DataFrame, name: str) -> NDArray[np.int64]:
    """The event times of a reference in microseconds, from a column of times, of RFC 3339 text or of dates.

    Whole numbers are refused: they do not tell their unit; give `parse` what they mean beforehand.
    Raises MissingColumn when there is no such column, UnusableEventTime when a value is missing or is no time.
    """
    if name not in frame.columns:
        raise MissingColumn(
            f"the reference has no column {name!r} for event times: correct reference.fields.timestamp, or leave it "
            f"out and the verdicts stay uncalibrated"
        )
    series = frame[name]
    if bool(series.isna().any()):
        row = int(np.flatnonzero(series.isna().to_numpy())[0])
        raise UnusableEventTime(f"the reference's event time {name!r} is missing in row {row}: every row needs one")
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        times = series.dt.tz_localize("UTC") if series.dt.tz is None else series.dt.tz_convert("UTC")
        return np.asarray(times.dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64))
    if pd.api.types.is_numeric_dtype(series.dtype):
        raise UnusableEventTime(
            f"the reference's event time {name!r} is stored as numbers ({series.dtype}), which do not say whether they "
            f"are seconds or milliseconds: store times or RFC 3339 text"
        )
    codes, uniques = pd.factorize(series)
    parsed = np.empty(len(uniques), dtype=np.int64)
    for i, value in enumerate(uniques):
        try:
            parsed[i] = parse_rfc3339(str(value))
        except ValueError as error:
            row = int(np.flatnonzero(codes == i)[0])
            raise UnusableEventTime(f"the reference's event time {name!r} in row {row}: {error}") from error
    return parsed[codes]


def encode_frame(frame: pd.DataFrame, layout: Layout, event_time: NDArray[np.int64] | None) -> tuple[Rows, Encoder]:
    """The frame's rows under a layout, as the stream would have encoded them; without identities.

    Values of a numeric column that are no numbers are counted as mistyped.
    """
    n = len(frame)
    encoder = Encoder(layout)
    values: dict[str, NDArray[Any]] = {}
    mistyped: dict[str, NDArray[np.bool_]] = {}
    for column in layout.columns:
        series = frame[column.name]
        if isinstance(column, CategoricalLayout):
            codes, texts = text_codes(series)
            values[column.name] = encoder.encode(column.name, [*texts, None])[codes]
        else:
            numbers = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
            values[column.name] = numbers
            wrong = np.isnan(numbers) & series.notna().to_numpy()
            if wrong.any():
                mistyped[column.name] = wrong
    rows = Rows(
        identity=np.zeros(n, dtype=np.uint64),
        ids=np.empty(n, dtype=object),
        event_time=np.zeros(n, dtype=np.int64) if event_time is None else event_time,
        topic="",
        partition=np.zeros(n, dtype=np.int32),
        offset=np.arange(n, dtype=np.int64),
        values=values,
        mistyped=mistyped,
    )
    return rows, encoder


def stored_rows(
    frame: pd.DataFrame, layout: Layout, event_time: NDArray[np.int64] | None, label: str | None
) -> tuple[bytes, NDArray[np.uint64]]:
    """At most 20,000 rows as an Arrow stream, those of lowest hash, in the order of time; and every row's hash.

    A row's hash is that of its content, and for equal rows of their number.
    """
    stored: dict[str, pa.Array] = {}
    hashes = np.zeros(len(frame), dtype=np.uint64)
    for column in layout.columns:
        series = frame[column.name]
        if isinstance(column, CategoricalLayout):
            codes, texts = text_codes(series)
            part = np.append(text_hashes(texts), np.uint64(0))[codes]
            if not column.id_like:
                stored[column.name] = pa.array(np.array([*texts, None], dtype=object)[codes], type=pa.string())
        else:
            array = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
            stored[column.name] = pa.array(array)
            part = (array + 0.0).view(np.uint64)
        hashes = _mix(hashes, part)
    if event_time is not None:
        stored[EVENT_TIME] = pa.array(event_time)
        hashes = _mix(hashes, event_time.astype(np.uint64))
    if label is not None:
        stored[LABEL], part = _label_array(frame[label])
        hashes = _mix(hashes, part)
    # Equal rows must not all be in or all out: each one after the first is hashed with its number.
    again = pd.Series(hashes).groupby(hashes).cumcount().to_numpy().astype(np.uint64)
    hashes = _mix(_mix(hashes, again), again)
    times = np.zeros(len(frame)) if event_time is None else event_time
    keep = np.argsort(hashes, kind="stable")[:STORED_ROWS]
    keep = keep[np.lexsort((hashes[keep], times[keep]))]
    table = pa.table(stored).take(pa.array(keep))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes()), hashes


def _label_array(series: pd.Series) -> tuple[pa.Array, NDArray[np.uint64]]:
    if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(series.dtype):
        numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return pa.array(numbers), (numbers + 0.0).view(np.uint64)
    codes, texts = text_codes(series)
    array = pa.array(np.array([*texts, None], dtype=object)[codes], type=pa.string())
    return array, np.append(text_hashes(texts), np.uint64(0))[codes]


def _mix(hashes: NDArray[np.uint64], part: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of MurmurHash3 (Appleby) over both."""
    mixed = (hashes ^ part) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return np.asarray(mixed ^ (mixed >> np.uint64(33)))


def plain_values(series: pd.Series) -> NDArray[Any]:
    """A column as float64 with NaN, or as objects with None."""
    if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(series.dtype):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return series.astype(object).where(series.notna(), None).to_numpy(dtype=object)


def read_stored_rows(data: bytes) -> pd.DataFrame:
    """The rows that `stored_rows` wrote: numbers as float64, categories as text or None."""
    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    columns = {}
    for name in table.column_names:
        values = table[name].to_pandas()
        columns[name] = values if values.dtype.kind in "fi" else values.astype(object).where(values.notna(), None)
    return pd.DataFrame(columns)
