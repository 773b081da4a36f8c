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

ESTIMATED_METRICS: dict[str, tuple[str, ...]] = {
    "regression": ("mae", "rmse"),
    "binary_classification": (
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "log_loss",
        "brier",
    ),
}
"""By task, those that are estimated although no labels are read."""

NUMERIC, CATEGORICAL = "numeric", "categorical"
"""The kinds of columns that a method may be for; a boolean column is a categorical one."""
BOTH = (NUMERIC, CATEGORICAL)

METHODS: dict[str, tuple[str, ...]] = {
    "auto": BOTH,
    "psi": BOTH,
    "ks": (NUMERIC,),
    "wasserstein": (NUMERIC,),
    "jensenshannon": BOTH,
    "kl_div": BOTH,
    "chisquare": (CATEGORICAL,),
    "hellinger": BOTH,
    "tvd": (CATEGORICAL,),
    "z": (CATEGORICAL,),
}
"""The drift methods, and the kinds of columns that each is for."""

EVIDENTLY = "evidently:"
"""What the name of one of Evidently's own tests begins with."""

EVIDENTLY_TESTS: dict[str, tuple[str, ...]] = {
    "TVD": (CATEGORICAL,),
    "anderson": (NUMERIC,),
    "chisquare": (CATEGORICAL,),
    "cramer_von_mises": (NUMERIC,),
    "ed": (NUMERIC,),
    "empirical_mmd": (NUMERIC,),
    "es": (NUMERIC,),
    "fisher_exact": (CATEGORICAL,),
    "g_test": (CATEGORICAL,),
    "hellinger": BOTH,
    "jensenshannon": BOTH,
    "kl_div": BOTH,
    "ks": (NUMERIC,),
    "mannw": (NUMERIC,),
    "psi": BOTH,
    "t_test": (NUMERIC,),
    "wasserstein": (NUMERIC,),
    "z": (CATEGORICAL,),
}
"""Evidently's own tests, and the kinds of columns that each is for."""


def kinds_of_method(method: str) -> tuple[str, ...] | None:
    """The kinds of columns that a drift method is for, or None when there is no such method.

    >>> kinds_of_method("ks"), kinds_of_method("evidently:g_test"), kinds_of_method("evidently:")
    (('numeric',), ('categorical',), None)
    """
    if method.startswith(EVIDENTLY):
        return EVIDENTLY_TESTS.get(method.removeprefix(EVIDENTLY))
    return METHODS.get(method)


def methods_for(kind: str) -> list[str]:
    """The methods for one kind of column, driftd's own first."""
    own = [name for name, kinds in METHODS.items() if kind in kinds]
    return [*own, *(f"{EVIDENTLY}{name}" for name, kinds in EVIDENTLY_TESTS.items() if kind in kinds)]


FORMATS = ("json",)
