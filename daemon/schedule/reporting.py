"""Evidently's report over a window's sample; runs in a worker process."""

from __future__ import annotations

from daemon.schedule.tasks import ReportTask
from detectors.reference import Reference
from detectors.report import html_report
from detectors.sample import Sample


def report(task: ReportTask) -> str:
    """The HTML page; raises NothingToReport when no column has a value on both sides."""
    reference = Reference.from_bytes(task.reference)
    sample = Sample.merge([Sample.from_bytes(reference.layout, data) for data in task.samples])
    return html_report(reference.sample, sample.to_frame(), reference.columns)
