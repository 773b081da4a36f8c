"""Building a reference from rows of live traffic; runs in a worker process."""

from __future__ import annotations

import msgspec
import pandas as pd

from daemon.schedule.reading import reference_of
from daemon.schedule.tasks import BuiltReference, CollectedTask, ReadRequest, WindowTask
from detectors.collected import PREDICTION, CollectedRows
from detectors.collected_frame import collected_frame
from detectors.errors import MissingColumn, UnusableColumn
from detectors.values import value_text


def merge_window(task: WindowTask) -> bytes:
    """The rows of lowest hash of a whole window."""
    return CollectedRows.merge([CollectedRows.from_bytes(data) for data in task.samples], task.k).to_bytes()


def build_collected(task: CollectedTask) -> BuiltReference:
    """The reference that the windows make: a function of their rows alone.

    Raises ReferenceRejected when there is nothing to hold windows against.
    """
    request = task.request
    rows = [CollectedRows.from_bytes(window.sample) for window in task.windows]
    given = [None if window.labels is None else msgspec.msgpack.decode(window.labels) for window in task.windows]
    labels = None
    if any(part is not None for part in given):
        labels = [[None] * len(one) if part is None else part for one, part in zip(rows, given, strict=True)]
    frame = collected_frame(rows, labels)
    _check(frame, request)
    # Windows of another length than those that were counted cannot tell how many rows are usual in them.
    same = task.size == request.size
    return reference_of(frame, request, {window.start: window.rows for window in task.windows} if same else {})


def _check(frame: pd.DataFrame, request: ReadRequest) -> None:
    """Whether the predictions say anything.

    Raises MissingColumn and UnusableColumn.
    """
    for column, name in ((request.prediction, "prediction"), (request.score, "score")):
        if column is not None and (column not in frame.columns or bool(frame[column].isna().all())):
            raise MissingColumn(f"no message holds a {name}: is predictions.fields.{name} right?")
    if request.prediction is None or request.task == "recommendation":
        return
    texts = {value_text(value) for value in frame[PREDICTION].dropna()}
    if len(texts) == 1:
        raise UnusableColumn(f"each of {len(frame)} predictions is {texts.pop()}")
