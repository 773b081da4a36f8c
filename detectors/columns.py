"""The columns of a model: their types, their roles, and why each type was chosen."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from detectors.errors import EmptyReference, MissingColumn, UnusableColumn

if TYPE_CHECKING:
    # Here and in the other modules that intake needs it is imported where a frame comes in: it takes 65 MB.
    import pandas as pd

PREDICTION = "prediction"
SCORE = "score"
LIST_LENGTH = "prediction.length"
"""How many items a list-valued prediction has; its items stand in PREDICTION, one drawn from each list."""

ID_LIKE_SHARE = 0.5
"""A categorical column with more distinct values than this share of its rows names rows, not kinds."""
ID_LIKE_DISTINCT = 20
"""Below this many distinct values a column is too small to be called id-like."""


class ColumnType(StrEnum):
    """How a column's values are read and compared."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"


class Role(StrEnum):
    """What a column is to the model."""

    FEATURE = "feature"
    PREDICTION = "prediction"
    SCORE = "score"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, type and role, and in words why it has that type.

    The prediction is named "prediction" and the score "score"; features go by their own, dotted, names, and one that
    would clash with those two is named "features.prediction" or "features.score".
    An id-like column gets no drift test: only its missing and mistyped values are watched.
    """

    name: str
    type: ColumnType
    role: Role
    reason: str
    id_like: bool = False


def canonical_frame(
    frame: pd.DataFrame, *, prediction: str | None = None, score: str | None = None
) -> tuple[pd.DataFrame, dict[str, Role]]:
    """The frame with its columns under the names that driftd uses, and the roles of prediction and score.

    `prediction` and `score` name columns of `frame`. The frame itself is not changed.
    Raises MissingColumn when one of the two is not there.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"yhat": [0.5], "prediction": [1]})
    >>> canonical_frame(frame, prediction="yhat")[0].columns.to_list()
    ['prediction', 'features.prediction']
    """
    names = {str(name): str(name) for name in frame.columns}
    roles: dict[str, Role] = {}
    for source, name, role in ((prediction, PREDICTION, Role.PREDICTION), (score, SCORE, Role.SCORE)):
        if name in names:
            names[name] = f"features.{name}"
        if source is None:
            continue
        if source not in names:
            raise MissingColumn(
                f"the reference has no column {source!r} for the {name}; it has {_listing(frame.columns)}: "
                f"name the right one under reference.fields.{name}"
            )
        names[source] = name
        roles[name] = role
    renamed = frame.rename(columns=str).rename(columns=names)
    return renamed, roles


def infer_columns(
    frame: pd.DataFrame,
    *,
    roles: Mapping[str, Role],
    declared: Mapping[str, ColumnType],
    exclude: Collection[str],
) -> tuple[Column, ...]:
    """The columns of a reference with their types: those declared, else what the values look like.

    `frame` carries canonical names (see `canonical_frame`); columns in `exclude` are left out, and so are event time,
    id, version and label when the caller names them there. Order: as in the frame.
    Raises EmptyReference without rows, MissingColumn when a column of `roles` or `declared` is not there, and
    UnusableColumn when the prediction or the score holds no value at all.
    """
    if len(frame) == 0:
        raise EmptyReference("the reference has no rows: give a file with the rows that the model is held against")
    for name in [*roles, *declared]:
        if name not in frame.columns and name not in exclude:
            raise MissingColumn(f"the reference has no column {name!r}; it has {_listing(frame.columns)}")
    columns = []
    for name in frame.columns:
        if name in exclude:
            continue
        role = roles.get(name, Role.FEATURE)
        series = frame[name]
        if role is not Role.FEATURE and bool(series.isna().all()):
            raise UnusableColumn(f"the reference's column {name!r} (the {role}) holds nothing but missing values")
        columns.append(_infer(str(name), series, role, declared.get(name)))
    return tuple(columns)


def _infer(name: str, series: pd.Series, role: Role, declared: ColumnType | None) -> Column:
    present = series.dropna()
    if declared is not None:
        kind, reason = declared, "declared in the configuration"
    elif len(present) == 0:
        return Column(
            name, ColumnType.CATEGORICAL, role, "every value is missing: only missing values are watched", True
        )
    else:
        kind, reason = _kind(present)
    if kind is ColumnType.NUMERIC and len(numeric_values(present)) == 0:
        raise UnusableColumn(f"the reference's column {name!r} is declared numeric but holds no number")
    if kind is not ColumnType.CATEGORICAL:
        return Column(name, kind, role, reason)
    try:
        distinct = int(present.nunique())
    except TypeError:
        return Column(name, kind, role, "lists or objects: only missing values are watched", True)
    if role is Role.FEATURE and distinct >= ID_LIKE_DISTINCT and distinct > ID_LIKE_SHARE * len(present):
        reason = f"{reason}; {distinct} distinct values in {len(present)} rows, so id-like: no drift test"
        return Column(name, kind, role, reason, True)
    return Column(name, kind, role, f"{reason}, {distinct} distinct")


def _kind(present: pd.Series) -> tuple[ColumnType, str]:
    import pandas as pd

    dtype = present.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return ColumnType.CATEGORICAL, "stored as categories"
    if pd.api.types.is_bool_dtype(dtype):
        return ColumnType.BOOLEAN, "stored as booleans"
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        return ColumnType.NUMERIC, f"stored as numbers ({dtype})"
    if dtype == np.dtype(object):
        kinds = {type(value) for value in present}
        if all(issubclass(kind, bool | np.bool_) for kind in kinds):
            return ColumnType.BOOLEAN, "every value is true or false"
        if all(issubclass(kind, numbers.Number) and not issubclass(kind, bool | np.bool_) for kind in kinds):
            return ColumnType.NUMERIC, "every value is a number"
        if kinds != {str}:
            return ColumnType.CATEGORICAL, "values of several kinds: " + ", ".join(sorted(k.__name__ for k in kinds))
    return ColumnType.CATEGORICAL, "text" if not pd.api.types.is_datetime64_any_dtype(dtype) else "times, read as text"


def numeric_values(series: pd.Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The finite values of a column as float64, in order; text that is no number is left out."""
    import pandas as pd

    values: np.ndarray[tuple[int], np.dtype[np.float64]] = pd.to_numeric(series, errors="coerce").to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    return np.asarray(values[np.isfinite(values)])


def _listing(names: Collection[object]) -> str:
    shown = [repr(str(name)) for name in list(names)[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
