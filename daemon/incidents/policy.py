"""What decides when a model's lines fire and how loudly, taken from its settings."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.config.settings import Model
from daemon.incidents.incident import FAMILIES, Severity
from daemon.incidents.lines import LineKey
from detectors.findings import Signal

INTERRUPTIONS = frozenset({Signal.NO_PREDICTIONS, Signal.STALLED, Signal.LAGGING})
"""The signals during which a model's data is incomplete."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`for_windows` and `recover_after` count disjoint windows; `important` columns open an incident by their drift."""

    for_windows: int = 2
    recover_after: int = 2
    important: frozenset[str] = frozenset()
    critical: bool = False

    @classmethod
    def of(cls, model: Model) -> Policy:
        return cls(
            for_windows=int(model.alerts.for_),
            recover_after=int(model.alerts.recover_after),
            important=frozenset(model.columns.important),
        )

    def opens(self, key: LineKey) -> bool:
        """Whether the line may open an incident; drift of an unimportant feature only joins one as its likely cause.

        Drift of no feature in particular is a limit that someone set on how many may drift.
        """
        if key.signal is Signal.FEATURE_DRIFT and key.column is not None:
            return key.column in self.important
        return key.signal in FAMILIES

    def severity(self, key: LineKey) -> Severity:
        """How loudly the line is told; the first rule that fits (people.md, Signals)."""
        if key.signal in INTERRUPTIONS and self.critical:
            return Severity.PAGE
        return Severity.NOTIFY if self.opens(key) else Severity.DIGEST
