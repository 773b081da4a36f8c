"""The rows that Evidently is given: a window's beside its reference's, each column in the form that Evidently takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from detectors.columns import PREDICTION, SCORE, Column, ColumnType, Role
from detectors.frames import LABEL, plain_values
from detectors.quality.classes import class_texts
from detectors.quality.rows import BINARY, MULTICLASS, REGRESSION, Logged, canonical, numbers, split_scores

LABEL_COLUMN = "label"
"""What the ground truth is called in the rows that have one."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Two frames of the same columns, and what Evidently has to know of them.

    Infinite numbers are missing ones; categories are text. `reference` is None where there is nothing to compare with.
    `roles` has every column; `empty` the columns without a usable value on one of the sides, with the reason; `absent`
    those that a model has and that are not here, with the reason.
    """

    window: pd.DataFrame
    reference: pd.DataFrame | None
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    roles: Mapping[str, Role]
    task: str | None = None
    positive_label: str = "1"
    empty: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


def sampled_rows(reference: pd.DataFrame, window: pd.DataFrame, columns: Sequence[Column]) -> Rows:
    """The rows of a window's sample and those that are stored of its reference."""
    kept, absent = [], {}
    for column in columns:
        if column.id_like or column.name not in window or column.name not in reference:
            absent[column.name] = "is id-like: its values are not kept" if column.id_like else "is not in the rows"
        else:
            kept.append(column)
    frames = [
        pd.DataFrame({column.name: usable(frame[column.name], column.type) for column in kept}).reset_index(drop=True)
        for frame in (window, reference)
    ]
    return Rows(
        frames[0],
        frames[1],
        numeric=tuple(column.name for column in kept if column.type is ColumnType.NUMERIC),
        categorical=tuple(column.name for column in kept if column.type is not ColumnType.NUMERIC),
        roles={column.name: column.role for column in kept},
        empty={column.name: reason for column in kept if (reason := _emptiness(column.name, *frames))},
        absent=absent,
    )


def joined_rows(task: str, positive_label: str, logged: Logged, reference: pd.DataFrame) -> Rows:
    """The joined rows of a window, and the reference's stored ones where those have labels; no features are in them.

    Rows without a label, or without what was predicted, are left out. A multiclass model's probabilities are not given
    to Evidently: the reference keeps none.
    """
    window = _joined(task, positive_label, logged)
    before = None
    if LABEL in reference:
        given = [plain_values(reference[name]) if name in reference else None for name in (PREDICTION, SCORE)]
        before = _joined(task, positive_label, Logged(plain_values(reference[LABEL]), *given))
        before = before[list(window)] if set(before) >= set(window) and len(before) else None
    numeric = {REGRESSION: (PREDICTION, LABEL_COLUMN)}.get(task, (SCORE,))
    return Rows(
        window,
        before,
        numeric=tuple(str(name) for name in window if name in numeric),
        categorical=tuple(str(name) for name in window if name not in numeric),
        roles={str(name): Role.SCORE if name == SCORE else Role.PREDICTION for name in window},
        task=task,
        positive_label=positive_label,
    )


def usable(series: pd.Series, kind: ColumnType) -> pd.Series:
    """A column as Evidently can read it: finite numbers or NaN, or text or None."""
    if kind is ColumnType.NUMERIC:
        finite = pd.to_numeric(series, errors="coerce").astype(np.float64)
        return finite.replace([np.inf, -np.inf], np.nan)
    return series.map(str, na_action="ignore").astype(object)


def _emptiness(column: str, window: pd.DataFrame, reference: pd.DataFrame) -> str | None:
    for frame, side in ((reference, "reference"), (window, "window")):
        if not frame[column].notna().any():
            return f"no usable value in the {side}"
    return None


def _joined(task: str, positive_label: str, logged: Logged) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    if task == REGRESSION:
        columns[LABEL_COLUMN] = numbers(logged.labels)
        if logged.predictions is not None:
            columns[PREDICTION] = numbers(logged.predictions)
    elif task in (BINARY, MULTICLASS):
        predictions, score = split_scores(logged) if task == BINARY else (logged.predictions, None)
        columns[LABEL_COLUMN] = _classes(logged.labels, task, positive_label)
        if predictions is not None:
            columns[PREDICTION] = _classes(predictions, task, positive_label)
        if score is not None:
            columns[SCORE] = score
    frame = pd.DataFrame(columns).replace([np.inf, -np.inf], np.nan)
    return frame.dropna().reset_index(drop=True)


def _classes(values: Any, task: str, positive_label: str) -> Any:
    """Classes as text; every spelling of a binary model's positive class as the configuration spells it."""
    texts = class_texts(values)
    if task == BINARY:
        wanted = canonical(positive_label)
        return np.array(
            [text if text is None or canonical(text) != wanted else positive_label for text in texts], dtype=object
        )
    return texts
