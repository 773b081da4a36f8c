"""Whether the data itself is as it should be: one file a check, each registered by its name."""

from detectors.data_quality.check import CHECKS, check

__all__ = ["CHECKS", "check"]
