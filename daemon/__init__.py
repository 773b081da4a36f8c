"""driftd's daemon: Kafka in, verdicts out. It knows no statistics; those are in `detectors`."""

from importlib.metadata import version

__version__ = version("driftd")
