"""Evidently's own report, run for real over real flights."""

from __future__ import annotations

import socket

import pandas as pd
import pytest

from detectors.columns import Column, ColumnType, Role
from detectors.report import NothingToReport, html_report
from tests.unit.detectors.flights import month

COLUMNS = (
    Column("dep_delay", ColumnType.NUMERIC, Role.FEATURE, "number"),
    Column("carrier", ColumnType.CATEGORICAL, Role.FEATURE, "text"),
    Column("tailnum", ColumnType.CATEGORICAL, Role.FEATURE, "text", id_like=True),
    Column("lost", ColumnType.NUMERIC, Role.FEATURE, "number"),
)


def test_the_page_is_evidentlys_and_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a report must not call anybody")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    reference, window = month(1).head(3_000).assign(lost=1.0), month(2).head(1_000).assign(lost=None)
    before = window.copy()

    page = html_report(reference, window, COLUMNS)

    assert "Dataset Drift" in page
    assert "dep_delay" in page
    assert "carrier" in page
    assert "Left out: tailnum (id-like: each row has its own value); lost (no usable value in the window)." in page
    assert 'src="http' not in page
    assert html_report(reference, window, COLUMNS) == page
    pd.testing.assert_frame_equal(window, before)


def test_nothing_to_report_says_why() -> None:
    empty = pd.DataFrame({"lost": [None]})
    with pytest.raises(NothingToReport, match="lost: no usable value in the reference"):
        html_report(empty, empty, COLUMNS[3:])
