"""Words that a model's Evidently suite may use: Evidently's presets and metrics with the parameters they are made with.

Evidently itself is not imported here, it takes seconds; a test holds the lists against the installed package.
"""

from __future__ import annotations

DEFAULT = "default"
"""`tests: default`: the tests that Evidently itself would run."""
TESTS = ("eq", "not_eq", "gt", "gte", "lt", "lte", "is_in", "not_in")
"""Evidently's tests of a value."""
OF_LISTS = frozenset({"is_in", "not_in"})
"""Those whose limit is a list."""
REFERENCE = "reference"
"""A limit that lies around the reference's value: {reference: {relative: 0.1}}."""
AROUND = ("relative", "absolute")

_COLUMN = ("column", "tests")
_COUNT = ("column", "tests", "share_tests")
_DRIFT = (
    "columns",
    "drift_share",
    "method",
    "cat_method",
    "num_method",
    "per_column_method",
    "threshold",
    "cat_threshold",
    "num_threshold",
    "per_column_threshold",
)
_DATASET = (
    "row_count_tests",
    "column_count_tests",
    "duplicated_row_count_tests",
    "duplicated_column_count_tests",
    "almost_duplicated_column_count_tests",
    "almost_constant_column_count_tests",
    "empty_row_count_tests",
    "empty_column_count_tests",
    "constant_columns_count_tests",
    "dataset_missing_value_count_tests",
)
_CLASS_TESTS = (
    "accuracy_tests",
    "precision_tests",
    "recall_tests",
    "f1score_tests",
    "rocauc_tests",
    "logloss_tests",
    "tpr_tests",
    "tnr_tests",
    "fpr_tests",
    "fnr_tests",
)
_ERROR_TESTS = (
    "mean_error_tests",
    "mape_tests",
    "rmse_tests",
    "mae_tests",
    "r2score_tests",
    "abs_max_error_tests",
)
_CLASS = ("tests", "probas_threshold", "k")
_ERROR = ("mean_tests", "std_tests")

PRESETS: dict[str, tuple[str, ...]] = {
    "ClassificationDummyQuality": ("probas_threshold", "k"),
    "ClassificationPreset": (
        "probas_threshold",
        *_CLASS_TESTS,
        "f1score_by_label_tests",
        "precision_by_label_tests",
        "recall_by_label_tests",
        "rocauc_by_label_tests",
    ),
    "ClassificationQuality": ("probas_threshold", *_CLASS_TESTS),
    "ClassificationQualityByLabel": (
        "probas_threshold",
        "k",
        "f1score_tests",
        "precision_tests",
        "recall_tests",
        "rocauc_tests",
    ),
    "DataDriftPreset": _DRIFT,
    "DataSummaryPreset": ("columns", *_DATASET),
    "DatasetStats": (*_DATASET, "dataset_missing_value_share_tests"),
    "RegressionDummyQuality": ("mae_tests", "mape_tests", "rmse_tests"),
    "RegressionPreset": _ERROR_TESTS,
    "RegressionQuality": _ERROR_TESTS,
    "ValueStats": (
        "column",
        "row_count_tests",
        "missing_values_count_tests",
        "min_tests",
        "max_tests",
        "mean_tests",
        "std_tests",
        "q25_tests",
        "q50_tests",
        "q75_tests",
        "unique_values_count_tests",
        "replace_nan",
    ),
}
"""Each preset with its parameters."""

METRICS: dict[str, tuple[str, ...]] = {
    "AbsMaxError": ("tests",),
    "Accuracy": _CLASS,
    "AlmostConstantColumnsCount": ("tests",),
    "AlmostDuplicatedColumnsCount": ("tests",),
    "CategoryCount": (*_COUNT, "category", "categories"),
    "ColumnCorrelationMatrix": ("column_name", "kind"),
    "ColumnCorrelations": ("column_name",),
    "ColumnCount": ("tests", "column_type"),
    "ConstantColumnsCount": ("tests",),
    "CorrelationMatrix": ("kind",),
    "DatasetCorrelations": (),
    "DatasetMissingValueCount": ("tests", "share_tests"),
    "DriftedColumnsCount": ("tests", "share_tests", *_DRIFT),
    "DummyAccuracy": _CLASS,
    "DummyF1Score": _CLASS,
    "DummyFNR": _CLASS,
    "DummyFPR": _CLASS,
    "DummyLogLoss": _CLASS,
    "DummyMAE": ("tests",),
    "DummyMAPE": ("tests",),
    "DummyPrecision": _CLASS,
    "DummyRMSE": ("tests",),
    "DummyRecall": _CLASS,
    "DummyRocAuc": _CLASS,
    "DummyTNR": _CLASS,
    "DummyTPR": _CLASS,
    "DuplicatedColumnsCount": ("tests",),
    "DuplicatedRowCount": ("tests",),
    "EmptyColumnsCount": ("tests",),
    "EmptyRowsCount": ("tests",),
    "F1ByLabel": _CLASS,
    "F1Score": _CLASS,
    "FNR": _CLASS,
    "FPR": _CLASS,
    "InListValueCount": (*_COUNT, "values"),
    "InRangeValueCount": (*_COUNT, "left", "right"),
    "LogLoss": _CLASS,
    "MAE": _ERROR,
    "MAPE": (*_ERROR, "zero_handling", "replace_value", "epsilon"),
    "MaxValue": _COLUMN,
    "MeanError": _ERROR,
    "MeanValue": _COLUMN,
    "MedianValue": _COLUMN,
    "MinValue": _COLUMN,
    "MissingValueCount": _COUNT,
    "OutListValueCount": (*_COUNT, "values"),
    "OutRangeValueCount": (*_COUNT, "left", "right"),
    "Precision": _CLASS,
    "PrecisionByLabel": _CLASS,
    "QuantileValue": (*_COLUMN, "quantile"),
    "R2Score": ("tests",),
    "RMSE": ("tests",),
    "Recall": _CLASS,
    "RecallByLabel": _CLASS,
    "RocAuc": _CLASS,
    "RocAucByLabel": _CLASS,
    "RowCount": ("tests",),
    "StdValue": _COLUMN,
    "SumValue": _COLUMN,
    "TNR": _CLASS,
    "TPR": _CLASS,
    "UniqueValueCount": (*_COUNT, "replace_nan"),
    "ValueDrift": (*_COLUMN, "method", "threshold"),
}
"""Each metric with its parameters."""

REQUIRED: dict[str, tuple[str, ...]] = {
    **{name: ("column",) for name, given in METRICS.items() if "column" in given},
    **dict.fromkeys(("InListValueCount", "OutListValueCount"), ("column", "values")),
    **dict.fromkeys(("InRangeValueCount", "OutRangeValueCount"), ("column", "left", "right")),
    **dict.fromkeys(("ColumnCorrelations", "ColumnCorrelationMatrix"), ("column_name",)),
    "ValueStats": ("column",),
}
"""The parameters that must be given."""

BY_LABEL: dict[str, tuple[str, ...]] = {
    "ClassificationPreset": tuple(name for name in PRESETS["ClassificationPreset"] if name.endswith("by_label_tests")),
    "ClassificationQualityByLabel": ("f1score_tests", "precision_tests", "recall_tests", "rocauc_tests"),
    "UniqueValueCount": ("tests", "share_tests"),
    "ValueStats": ("unique_values_count_tests",),
    **dict.fromkeys(("F1ByLabel", "PrecisionByLabel", "RecallByLabel", "RocAucByLabel"), ("tests",)),
}
"""The parameters that hold tests by label: {late: {gte: 0.7}}."""

OF_ERRORS = frozenset(name for name, given in (PRESETS | METRICS).items() if given in (_ERROR_TESTS, _ERROR)) | {
    "AbsMaxError",
    "DummyMAE",
    "DummyMAPE",
    "DummyRMSE",
    "MAPE",
    "R2Score",
    "RMSE",
    "RegressionDummyQuality",
}
"""What judges a regression by its labels."""
OF_CLASSES = frozenset(name for name, given in METRICS.items() if given == _CLASS) | {
    name for name in PRESETS if name.startswith("Classification")
}
"""What judges a classification by its labels."""
OF_SCORES = frozenset({"DummyLogLoss", "DummyRocAuc", "LogLoss", "RocAuc", "RocAucByLabel"})
"""What needs the probability of the positive class."""

_RANKING = "ranks lists, of which a reference keeps none: the task recommendation has driftd's own metrics for them"
NOT_OFFERED: dict[str, str] = {
    "EmbeddingsDrift": "needs embeddings, which a window's sample does not keep",
    "GroupBy": "takes another metric as its parameter: `segments` judge parts of the traffic",
    "RowTestSummary": "needs descriptors, which are made in Python",
    "TextEvals": "needs descriptors, which are made in Python",
    **dict.fromkeys(
        (
            "Diversity",
            "FBetaTopK",
            "HitRate",
            "ItemBias",
            "MAP",
            "MRR",
            "NDCG",
            "Novelty",
            "Personalization",
            "PopularityBiasMetric",
            "PrecisionTopK",
            "RecCasesTable",
            "RecallTopK",
            "RecsysPreset",
            "ScoreDistribution",
            "Serendipity",
            "UserBias",
        ),
        _RANKING,
    ),
}
"""Evidently's others, and why a suite cannot have them."""
