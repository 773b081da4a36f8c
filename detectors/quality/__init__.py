"""How good the predictions were, once their labels are known: one file a family, each metric registered by its name."""

from detectors.quality.floor import QualityFloor, quality_floors
from detectors.quality.metric import METRICS, Measured, QualityMetric, Worse, measure, metrics_of, quality_metric
from detectors.quality.reading import TASKS, Terms, read_rows
from detectors.quality.rows import Flaw, JudgedRows, Logged, ReadRows, Rows

__all__ = [
    "METRICS",
    "TASKS",
    "Flaw",
    "JudgedRows",
    "Logged",
    "Measured",
    "QualityFloor",
    "QualityMetric",
    "ReadRows",
    "Rows",
    "Terms",
    "Worse",
    "measure",
    "metrics_of",
    "quality_floors",
    "quality_metric",
    "read_rows",
]
