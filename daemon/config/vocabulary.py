"""Words that a configuration may use for metrics and methods.

The detectors that compute them are in another package, which this one does not import; a test holds the two together.
"""

from __future__ import annotations

QUALITY_METRICS: dict[str, tuple[str, ...]] = {
    "regression": ("mae", "rmse", "mape", "bias", "r2"),
    "binary_classification": (
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
        "calibration_error",
    ),
    "multiclass": (
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "log_loss",
        "brier",
        "calibration_error",
    ),
    "recommendation": (
        "precision",
        "recall",
        "ndcg",
        "mrr",
        "map",
        "hit_rate",
        "coverage",
        "popularity",
        "gini",
        "novelty",
    ),
    "none": (),
}
"""By task."""

NEEDS_SCORE = frozenset({"roc_auc", "average_precision", "log_loss", "brier", "calibration_error"})

METHODS = ("auto", "psi", "ks", "wasserstein", "jensenshannon", "kl_div", "chisquare", "hellinger", "tvd", "z")

EVIDENTLY = "evidently:"
"""What the name of one of Evidently's own tests begins with."""

FORMATS = ("json",)
