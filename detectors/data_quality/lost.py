"""Fields that are gone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from detectors.columns import Role
from detectors.data_quality.check import check, rule
from detectors.findings import Signal, Verdict
from detectors.judgement import Measurement
from detectors.layout import CategoricalLayout, NumericLayout
from detectors.window import Window

USUALLY_THERE = 0.5
"""A column that the reference had in fewer rows than this can be away for a window."""
LOST = "lost"
NEVER_SEEN = (
    "never seen in the messages so far: exclude the column (columns.exclude), or check predictions.fields.features"
)
SAID_BY_LOST = frozenset({"missing", "missing_maximum"})
"""What says the same again of a column that is gone."""


@check(LOST)
def lost(window: Window) -> Iterator[Measurement]:
    """Whether a column has no value at all in the window: 1 where it is gone, 0 elsewhere; a rule of the schema."""
    for column in window.columns:
        gone = window.cells.missing[column.name] == 1.0
        usual = window.usual.missing[column.name]
        if usual > 1 - USUALLY_THERE:
            continue
        yield rule(
            window,
            LOST,
            column.name,
            violated=gone,
            signal=Signal.SCHEMA,
            value=float(gone),
            threshold=1.0,
            usual=0.0,
            current=float(gone),
            driver=f"{column.name} is gone from every row" if gone else None,
        )


def settle_lost(
    measurements: Sequence[Measurement],
    columns: Sequence[NumericLayout | CategoricalLayout],
    seen: Collection[str] | None,
) -> list[Measurement]:
    """What is measured of one window, with one finding for each column that is gone.

    A feature that is not among those `seen` in an earlier window was never there to be lost, such as a target that
    stands in the reference: it has no data, and nobody is alarmed.
    """
    gone = {_place(one) for one in measurements if one.finding.metric == LOST and one.large and not one.settled}
    features = {column.name for column in columns if column.role is Role.FEATURE}
    never = set() if seen is None else features - set(seen)
    kept = []
    for one in measurements:
        if _place(one) not in gone or one.finding.metric not in (LOST, *SAID_BY_LOST):
            kept.append(one)
        elif one.finding.metric == LOST and one.finding.column in never:
            absent = replace(one.finding, verdict=Verdict.NO_DATA, driver=None, detail=NEVER_SEEN)
            kept.append(replace(one, finding=absent, settled=True))
        elif one.finding.metric == LOST:
            kept.append(one)
    return kept


def _place(one: Measurement) -> tuple[str | None, str | None]:
    return one.finding.version, one.finding.column
