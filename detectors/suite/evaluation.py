"""A model's suite over one window, as findings: how each of Evidently's values is called, and what it is about."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from detectors.columns import Column, Role
from detectors.findings import Finding, Signal, Verdict
from detectors.quality.rows import Logged
from detectors.rules import Rules, SuiteEntry
from detectors.suite.entries import OF_DRIFT, arguments, entry_column, entry_name, settled, unmeasured
from detectors.suite.frames import Rows, joined_rows, sampled_rows
from detectors.suite.measured import Measured, Outcome, Value
from detectors.suite.running import Evidently

MOST_VALUES = 300
"""So many values of one entry are kept, those that are tested first."""
MOST_LABELS = 20
"""So many values of one metric that gives one for each label or cell."""
_PRIMARY = ("count", "mean")
"""The first of two values goes by the metric's own name."""
_QUALITY = frozenset({"classification", "regression"})
_BAD = {Signal.QUALITY: Verdict.DEGRADED, Signal.DATA_QUALITY: Verdict.VIOLATED}


@dataclass(frozen=True, slots=True)
class _Seen:
    """The rows that an entry is judged by: how many Evidently is given, and of how many."""

    rows: int
    of: int

    @property
    def said(self) -> str:
        return f"{self.rows} sampled of {self.of} rows" if self.rows < self.of else f"{self.rows} rows"


def sampled_suite(
    rules: Rules, reference: pd.DataFrame, window: pd.DataFrame | None, columns: Sequence[Column], rows: int
) -> list[Finding]:
    """The findings of the entries that need no label, from the sample of a window of `rows` rows, all versions of it.

    `reference` holds the reference's stored rows. `window` is None where the sample is gone.
    """
    entries = [entry for entry in rules.suite if not entry.labelled]
    if rows < rules.min_rows:
        return unmeasured(entries, Verdict.INSUFFICIENT_DATA, f"{rows} rows, {rules.min_rows} are needed", rows)
    if window is None or window.empty:
        return unmeasured(entries, Verdict.NO_DATA, "the sample of this window is gone (store.retention.samples)", rows)
    given = sampled_rows(reference, window, columns)
    return _findings(entries, given, _Seen(len(window), rows))


def joined_suite(rules: Rules, reference: pd.DataFrame, logged: Logged | None) -> list[Finding]:
    """The findings of the entries that need the label, from a window's predictions with their labels."""
    entries = [entry for entry in rules.suite if entry.labelled]
    given = None if logged is None else joined_rows(rules.task, rules.positive_label, logged, reference)
    rows = 0 if given is None else len(given.window)
    if given is None or rows < rules.min_rows:
        detail = f"{rows} labelled rows, {rules.min_rows} are needed"
        return unmeasured(entries, Verdict.INSUFFICIENT_DATA, detail, rows)
    return _findings(entries, given, _Seen(rows, rows))


def _findings(entries: Sequence[SuiteEntry], rows: Rows, seen: _Seen) -> list[Finding]:
    if not entries:
        return []
    evidently = Evidently(rows)
    return [finding for entry in entries for finding in _of_entry(evidently, entry, rows, seen)]


def _of_entry(evidently: Evidently, entry: SuiteEntry, rows: Rows, seen: _Seen) -> list[Finding]:
    """The findings of one entry; whatever is wrong with it stays its own."""
    unknown = __unknown_column(entry, rows)
    if unknown is not None:
        return [settled(entry, Verdict.ERROR, unknown, seen.rows)]
    try:
        measured = list(evidently.run(entry))
    except Exception as error:  # noqa: BLE001 - one entry must not take the others with it
        return [settled(entry, Verdict.ERROR, f"{type(error).__name__}: {error}", seen.rows)]
    names = _names(entry, measured)
    left_out = f"without {'; '.join(f'{name} ({why})' for name, why in rows.empty.items())}" if rows.empty else ""
    tested: list[Finding] = []
    untested: list[Finding] = []
    cut = 0
    for one, name in zip(measured, names, strict=True):
        column = one.column or entry_column(entry)
        blank = Finding(_signal(one, column, rows), name, Verdict.OK, column, rows=seen.rows)
        if one.error is not None:
            tested.append(replace(blank, verdict=Verdict.ERROR, detail=one.error))
            continue
        tested += [replace(blank, verdict=Verdict.NO_DATA, detail=reason) for reason in one.undecided[:1]]
        values, more = _kept(one.values)
        cut += more
        drift_of_all = one.metric == "DriftedColumnsCount" and "columns" not in entry.parameters
        note = "; ".join(filter(None, [one.how and f"by {one.how}", seen.said, left_out if drift_of_all else ""]))
        for value in values:
            (tested if value.tests else untested).append(_of_value(blank, value, note))
    # What holds for the whole, or was tested, is kept before what merely describes.
    kept = (tested + untested)[:MOST_VALUES]
    cut += len(tested) + len(untested) - len(kept)
    if cut:
        detail = f"{cut} more values are not kept: {MOST_VALUES} an entry and {MOST_LABELS} a metric are the limits"
        kept.append(settled(entry, Verdict.OK, detail, seen.rows))
    return kept


def _of_value(blank: Finding, value: Value, note: str) -> Finding:
    metric = blank.metric + _suffix(value.place)
    if not math.isfinite(value.value):
        detail = f"Evidently says {value.value} of these rows; {note}"
        return replace(blank, metric=metric, verdict=Verdict.NO_DATA, detail=detail)
    failed = [test for test in value.tests if test.outcome is Outcome.FAILED]
    undecided = [test for test in value.tests if test.outcome is Outcome.UNDECIDED]
    verdict = _BAD.get(blank.signal, Verdict.DRIFT) if failed else Verdict.NO_DATA if undecided else Verdict.OK
    limits = [test.limit for test in (*failed, *value.tests) if test.limit is not None]
    said = f"must be {' and '.join(test.said for test in failed or value.tests)}" if value.tests else ""
    reference = value.reference if value.reference is not None and math.isfinite(value.reference) else None
    return replace(
        blank,
        metric=metric,
        verdict=verdict,
        value=value.value,
        threshold=limits[0] if limits else None,
        flagged=bool(failed),
        usual=reference,
        current=value.value,
        detail="; ".join(filter(None, [said, note])),
    )


def _kept(values: Sequence[Value]) -> tuple[list[Value], int]:
    """The values of one metric that are kept: those that are tested, then the largest; and how many are not."""
    if len(values) <= MOST_LABELS:
        return list(values), 0
    size = {id(value): abs(value.value) if math.isfinite(value.value) else 0.0 for value in values}
    ordered = sorted(values, key=lambda value: (not value.tests, -size[id(value)], value.place))
    most = max(MOST_LABELS, sum(bool(value.tests) for value in values))
    return ordered[:most], len(values) - most


def _names(entry: SuiteEntry, measured: Sequence[Measured]) -> list[str]:
    """What each metric's findings are called: the entry, and under a preset the metric.

    A preset's metric carries those of its parameters by which another one of the same column differs.
    """
    if not _unfolds(entry, measured):
        return [entry_name(entry) for _ in measured]
    alike = Counter((one.metric, one.column) for one in measured)
    return [
        f"{entry_name(entry)}.{one.metric}" + (arguments(one.parameters) if alike[one.metric, one.column] > 1 else "")
        for one in measured
    ]


def _unfolds(entry: SuiteEntry, measured: Sequence[Measured]) -> bool:
    return entry.is_preset or any(one.metric != entry.name for one in measured)


def _suffix(place: Sequence[str]) -> str:
    """The words behind a metric's name: `.share`, `[JFK]`, `[JFK].share`; nothing for its first value."""
    *labels, last = place or ("",)
    if last in ("count", "share", "mean", "std"):
        part = "" if last in _PRIMARY else f".{last}"
    else:
        labels, part = [*place], ""
    return (f"[{','.join(labels)}]" if labels else "") + part


def __unknown_column(entry: SuiteEntry, rows: Rows) -> str | None:
    """Why a column that the entry names is not there."""
    named = [entry_column(entry), *entry.parameters.get("columns", ())]
    for name in named:
        if name is not None and name not in rows.roles:
            why = rows.absent.get(name)
            return f"the column {name!r} {why}" if why else f"there is no column {name!r}: {', '.join(rows.roles)}"
    return None


def _signal(measured: Measured, column: str | None, rows: Rows) -> Signal:
    """What a metric is about, by its class."""
    if measured.about in _QUALITY:
        return Signal.QUALITY
    if measured.metric in OF_DRIFT:
        feature = rows.roles.get(column or "", Role.FEATURE) is Role.FEATURE
        return Signal.FEATURE_DRIFT if feature else Signal.PREDICTION_DRIFT
    return Signal.DATA_QUALITY
