"""How far a window is from its reference: one file a method, each registered by its name."""

from detectors.drift.method import METHODS, DriftMethod, Worse, drift_method
from detectors.drift.points import Kind, Points

__all__ = ["METHODS", "DriftMethod", "Kind", "Points", "Worse", "drift_method"]
