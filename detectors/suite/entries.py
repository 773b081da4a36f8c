"""The entries of a suite: what their findings are called, and what is said of one that was not measured.

Nothing here needs a data frame: the daemon's own process speaks of a suite that could not be run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from detectors.findings import SUITE, Finding, Signal, Verdict
from detectors.rules import Rules, SuiteEntry

OF_DRIFT = frozenset({"ValueDrift", "DriftedColumnsCount", "DataDriftPreset"})
"""What of Evidently's is about drift."""
_LONGEST_NAME = 60


def failed_suite(rules: Rules, labelled: bool, reason: str) -> list[Finding]:
    """The findings of a suite that could not be run: every one of its entries is an error."""
    return unmeasured([entry for entry in rules.suite if entry.labelled is labelled], Verdict.ERROR, reason, 0)


def unmeasured(entries: Iterable[SuiteEntry], verdict: Verdict, detail: str, rows: int) -> list[Finding]:
    """One finding an entry, of entries that all say nothing for one reason."""
    return [settled(entry, verdict, detail, rows) for entry in entries]


def entry_name(entry: SuiteEntry) -> str:
    """The entry's own name: stable, whatever else stands in the suite.

    >>> entry_name(SuiteEntry("QuantileValue", {"column": "age", "quantile": 0.9, "tests": {"lte": 80}}))
    'evidently.QuantileValue(quantile=0.9)'
    """
    shown = {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for name, value in sorted(entry.parameters.items())
        if name not in ("column", "column_name") and not name.endswith("tests")
    }
    return f"{SUITE}{entry.name}{arguments(shown)}"


def arguments(parameters: dict[str, str]) -> str:
    """Parameters as they stand behind a name; long ones are cut, and told apart by a hash."""
    if not parameters:
        return ""
    text = ",".join(f"{name}={value}" for name, value in parameters.items())
    if len(text) > _LONGEST_NAME:
        digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
        text = f"{text[: _LONGEST_NAME - 9]}…{digest}"
    return f"({text})"


def entry_column(entry: SuiteEntry) -> str | None:
    """The one column that an entry is about, if there is one."""
    given = entry.parameters.get("column") or entry.parameters.get("column_name")
    return None if given is None else str(given)


def settled(entry: SuiteEntry, verdict: Verdict, detail: str, rows: int) -> Finding:
    """What is to be said of an entry as a whole."""
    signal = Signal.QUALITY if entry.labelled else Signal.DATA_QUALITY
    if entry.name in OF_DRIFT:
        signal = Signal.FEATURE_DRIFT
    return Finding(signal, entry_name(entry), verdict, entry_column(entry), rows=rows, detail=detail)
