"""How good the predictions were, once their labels are known: one file a family, each metric registered by its name."""

from detectors.quality.floor import QualityFloor, quality_floors
from detectors.quality.metric import METRICS, Measured, QualityMetric, Worse, measure, quality_metric
from detectors.quality.rows import JudgedRows, judged_rows

__all__ = [
    "METRICS",
    "JudgedRows",
    "Measured",
    "QualityFloor",
    "QualityMetric",
    "Worse",
    "judged_rows",
    "measure",
    "quality_floors",
    "quality_metric",
]
