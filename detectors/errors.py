"""The errors that the detectors raise."""

from __future__ import annotations


class DetectorError(Exception):
    """Base of everything that the detectors raise on purpose.

    DetectorError
    ├── ReferenceRejected       the reference cannot be used; the model waits
    │   ├── EmptyReference      it has no rows
    │   ├── MissingColumn       a column that it must have is not there
    │   ├── UnusableColumn      a column that it must have holds nothing usable
    │   └── UnusableEventTime   the event times cannot be read
    ├── UnsuitableMethod        a column is to be measured by a method that is for columns of another type
    ├── UnsuitableFault         a drill's fault cannot happen to such a column
    └── CorruptBlob             stored bytes are damaged, of another kind, or of a newer version
    """


class ReferenceRejected(DetectorError):
    """The reference cannot be used."""


class EmptyReference(ReferenceRejected):
    """The reference has no rows."""


class MissingColumn(ReferenceRejected):
    """A column that the reference must have is not there."""


class UnusableColumn(ReferenceRejected):
    """A column that the reference must have holds nothing usable."""


class UnusableEventTime(ReferenceRejected):
    """The reference's event times cannot be read."""


class UnsuitableMethod(DetectorError):
    """A column is to be measured by a method that is for columns of another type."""


class UnsuitableFault(DetectorError):
    """A drill's fault cannot happen to such a column, or there is no such column."""


class CorruptBlob(DetectorError):
    """Stored bytes are damaged, of another kind, or written by a newer version."""
