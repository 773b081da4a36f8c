"""Columns of every kind for independent rows, and the changes that are made to some of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def every_kind(rows: int, seed: int) -> pd.DataFrame:
    """Independent rows: one column for each kind that a test of drift may stumble over."""
    rng = np.random.default_rng(seed)
    columns = {
        "normal": rng.normal(20.0, 5.0, rows),
        "lognormal": rng.lognormal(0.0, 1.0, rows),
        "Cauchy": rng.standard_cauchy(rows),
        "Poisson": rng.poisson(3.0, rows).astype(np.float64),
        "zero in 90 %": np.where(rng.random(rows) < 0.9, 0.0, rng.lognormal(0.0, 1.0, rows)),
        "zero in 99.5 %": np.where(rng.random(rows) < 0.995, 0.0, rng.lognormal(0.0, 1.0, rows)),
        "three values": rng.choice([1.0, 2.0, 5.0], rows, p=[0.8, 0.15, 0.05]),
        "missing in 5 %": _missing(rng, rng.normal(0.0, 1.0, rows), 0.05),
        "missing in 90 %": _missing(rng, rng.normal(0.0, 1.0, rows), 0.9),
        "boolean": rng.random(rows) < 0.1,
        "one value but for 1 in 1,000": rng.random(rows) < 0.001,
    }
    frame = pd.DataFrame(columns)
    for distinct in (2, 5, 50, 100, 500):
        frame[f"{distinct} categories"] = _texts(rng.integers(0, distinct, rows), distinct)
    share = 1.0 / np.arange(1, 201)
    frame["200 categories, few common"] = _texts(rng.choice(200, rows, p=share / share.sum()), 200)
    frame["5 categories, missing in 3 %"] = _missing(rng, _texts(rng.integers(0, 5, rows), 5), 0.03)
    return frame


def plain(rows: int, seed: int) -> pd.DataFrame:
    """Independent rows of ten columns, for changes to be made to."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, 11)
    frame = pd.DataFrame(
        {
            "amount": rng.normal(20.0, 5.0, rows),
            "price": rng.lognormal(0.0, 1.0, rows),
            "miles": rng.gamma(2.0, 500.0, rows),
            "first": rng.normal(50.0, 10.0, rows),
            "second": rng.normal(60.0, 10.0, rows),
            "visits": rng.poisson(3.0, rows).astype(np.float64),
            "rate": rng.random(rows),
            "member": rng.random(rows) < 0.3,
        }
    )
    frame["shop"] = _texts(rng.choice(10, rows, p=share / share.sum()), 10)
    frame["item"] = _texts(rng.integers(0, 200, rows), 200)
    return frame


def _texts(codes: np.ndarray, distinct: int) -> np.ndarray:
    return np.array([f"kind-{code}" for code in range(distinct)], dtype=object)[codes]


def _missing(rng: np.random.Generator, values: np.ndarray, share: float) -> np.ndarray:
    return np.where(rng.random(len(values)) < share, None if values.dtype == object else np.nan, values)


def shifted(column: str, by: float) -> Change:
    """Every value is larger by so much."""
    return lambda frame, _: frame.assign(**{column: frame[column] + by})


def scaled(column: str, by: float) -> Change:
    """Every value comes in another unit."""
    return lambda frame, _: frame.assign(**{column: frame[column] * by})


def taken_over(column: str, value: str | None, share: float) -> Change:
    """So large a share of the rows, whatever they had, has one value now; None is a missing one."""

    def change(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        values = frame[column].to_numpy(dtype=object, copy=True)
        values[rng.random(len(frame)) < share] = value
        if value is None and pd.api.types.is_numeric_dtype(frame[column]):
            return frame.assign(**{column: values.astype(np.float64)})
        return frame.assign(**{column: values})

    return change


def frozen(column: str) -> Change:
    """Every row has the value of the first."""
    return lambda frame, _: frame.assign(**{column: frame[column].iloc[0]})


def swapped(one: str, other: str) -> Change:
    """Two fields have changed places."""
    return lambda frame, _: frame.assign(**{one: frame[other], other: frame[one]})


CHANGES: dict[str, tuple[str, Change]] = {
    "+0.1 sigma": ("amount", shifted("amount", 0.5)),
    "+0.2 sigma": ("amount", shifted("amount", 1.0)),
    "+0.5 sigma": ("amount", shifted("amount", 2.5)),
    "1 point of a category": ("shop", taken_over("shop", "kind-6", 0.01)),
    "5 points of a category": ("shop", taken_over("shop", "kind-6", 0.05)),
    "15 points of a category": ("shop", taken_over("shop", "kind-6", 0.15)),
    "5 points of a category of 0.5 %": ("item", taken_over("item", "kind-6", 0.05)),
    "5 % unseen": ("shop", taken_over("shop", "kind-new", 0.05)),
    "+2 points missing": ("rate", taken_over("rate", None, 0.02)),
    "+5 points missing": ("rate", taken_over("rate", None, 0.05)),
    "miles in kilometres (x 1.609)": ("miles", scaled("miles", 1.609)),
    "a frozen column": ("price", frozen("price")),
    "a swapped pair": ("first", swapped("first", "second")),
}
"""The changes by name: the column by which each is recognised, and what is done to a window's rows."""
