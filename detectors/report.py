"""Evidently's own HTML report over two frames of rows.

It runs in a worker process or a command: importing Evidently takes seconds and hundreds of megabytes. It needs no
network: Evidently puts its scripts and fonts into the page, and nothing about the run may leave the machine.
"""

from __future__ import annotations

import html
import importlib
import os
import re
import uuid
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from detectors.columns import Column, ColumnType
from detectors.suite.frames import usable

_RANDOM_ID = re.compile(r"(?<=metric_)[0-9a-f]{32}|\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")


class NothingToReport(ValueError):
    """No column has a value on both sides."""


def html_report(reference: pd.DataFrame, window: pd.DataFrame, columns: Sequence[Column]) -> str:
    """Evidently's DataDriftPreset over the rows of `window` against those of `reference`, as one HTML page.

    Columns without a usable value on either side and id-like ones are left out, and the page says so: Evidently would
    refuse all of them. Equal frames give equal pages. Raises NothingToReport when no column is left.
    """
    numeric, categorical, left_out = [], [], {}
    for column in columns:
        reason = _reason_to_leave_out(column, reference, window)
        if reason:
            left_out[column.name] = reason
        elif column.type is ColumnType.NUMERIC:
            numeric.append(column.name)
        else:
            categorical.append(column.name)
    if not numeric and not categorical:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items()) or "there are no columns"
        raise NothingToReport(f"nothing to report on: {reasons}")
    page = _evidently(
        _frame(reference, numeric, categorical), _frame(window, numeric, categorical), numeric, categorical
    )
    page = _with_ids_by_place(page)
    if left_out:
        listed = "; ".join(f"{html.escape(name)} ({html.escape(reason)})" for name, reason in left_out.items())
        page = page.replace("<body>", f"<body>\n<p style='font-family:sans-serif'>Left out: {listed}.</p>", 1)
    return page


def _reason_to_leave_out(column: Column, reference: pd.DataFrame, window: pd.DataFrame) -> str | None:
    if column.id_like:
        return "id-like: each row has its own value"
    for frame, side in ((reference, "reference"), (window, "window")):
        if column.name not in frame or not usable(frame[column.name], column.type).notna().any():
            return f"no usable value in the {side}"
    return None


def _frame(frame: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str]) -> pd.DataFrame:
    columns = {name: usable(frame[name], ColumnType.NUMERIC) for name in numeric}
    columns |= {name: usable(frame[name], ColumnType.CATEGORICAL) for name in categorical}
    return pd.DataFrame(columns).reset_index(drop=True)


def _evidently(reference: pd.DataFrame, window: pd.DataFrame, numeric: list[str], categorical: list[str]) -> str:
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        evidently = importlib.import_module("evidently")
        presets = importlib.import_module("evidently.presets")
        definition = evidently.DataDefinition(numerical_columns=numeric, categorical_columns=categorical)
        report = evidently.Report([presets.DataDriftPreset()])
        snapshot = report.run(
            evidently.Dataset.from_pandas(window, data_definition=definition),
            evidently.Dataset.from_pandas(reference, data_definition=definition),
        )
        return str(snapshot.get_html_str(as_iframe=False))


def _with_ids_by_place(page: str) -> str:
    """The page with Evidently's random identifiers replaced by ones that follow from their order."""
    seen: dict[str, str] = {}

    def replacement(match: re.Match[str]) -> str:
        found = match.group()
        if found not in seen:
            made = uuid.uuid5(uuid.NAMESPACE_URL, f"driftd:report:{len(seen)}")
            seen[found] = str(made) if "-" in found else made.hex
        return seen[found]

    return _RANDOM_ID.sub(replacement, page)
