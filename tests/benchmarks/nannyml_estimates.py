"""NannyML's estimates of quality by day, as JSON; run by a Python that has NannyML, which may not have driftd.

    python nannyml_estimates.py FOLDER

FOLDER holds `reference.parquet` and `live.parquet` with the columns `ts`, `prediction`, `score` (of a classification),
`label` and features, and `task.json`: {"task": ..., "features": [...], "metrics": [...]}. The answer is
{"version": ..., "days": {METRIC: [...]}}, a value for each day that has rows, in order.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.filterwarnings("ignore")

import nannyml  # noqa: E402
import pandas as pd  # noqa: E402


def rows(file: Path) -> pd.DataFrame:
    """The rows with their texts as categories, and times without a zone, as NannyML wants them."""
    frame = pd.read_parquet(file)
    frame["ts"] = frame["ts"].dt.tz_convert(None)
    for name in frame.columns:
        if frame[name].dtype == object:
            frame[name] = frame[name].astype("category")
    return frame


def main(folder: Path) -> dict[str, Any]:
    """Fits on the reference and estimates the live rows."""
    asked = json.loads((folder / "task.json").read_text())
    shared = {"y_pred": "prediction", "y_true": "label", "timestamp_column_name": "ts", "chunk_period": "D"}
    if asked["task"] == "regression":
        estimator = nannyml.DLE(feature_column_names=asked["features"], metrics=asked["metrics"], **shared)
    else:
        estimator = nannyml.CBPE(
            y_pred_proba="score", problem_type="classification_binary", metrics=asked["metrics"], **shared
        )
    estimator.fit(rows(folder / "reference.parquet"))
    found = estimator.estimate(rows(folder / "live.parquet")).filter(period="analysis").to_df()
    days = {name: [float(value) for value in found[(name, "value")]] for name in asked["metrics"]}
    return {"version": nannyml.__version__, "days": days}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
