"""What an evaluation is told: a model's settings as the detectors' rules."""

from __future__ import annotations

from daemon.config.settings import ColumnOverride, Model, Settings
from daemon.config.suite import Entry
from detectors.instants import micros
from detectors.rules import ColumnRule, QualityLimit, Rules, SuiteEntry


def rules_of(settings: Settings, name: str) -> Rules:
    """The rules of the model `name`: its limits, its window, and its share of the installation's false alarms."""
    model = settings.models[name]
    return Rules(
        task=model.task,
        size=micros(model.window.size),
        every=micros(model.window.every),
        min_rows=model.window.min_rows,
        segment_min_rows=model.segments.min_rows,
        alarms_per_week=alarm_share(settings),
        for_windows=int(model.alerts.for_),
        columns={column: _column_rule(override) for column, override in model.columns.overrides.items()},
        quality=_quality_limits(model),
        positive_label=model.positive_label,
        k=model.k,
        suite=tuple(_suite_entry(entry) for entry in model.evidently),
    )


def alarm_share(settings: Settings) -> float:
    """How many false alarms a week one model may raise: the installation's budget, in equal parts."""
    return settings.false_alarms.at_most.per_week / max(1, len(settings.models))


def _column_rule(override: ColumnOverride) -> ColumnRule:
    minimum, maximum = override.range or (None, None)
    return ColumnRule(
        method=override.method,
        threshold=override.threshold,
        direction=override.direction,
        minimum=minimum,
        maximum=maximum,
        missing_maximum=override.missing.max if override.missing else None,
    )


def _suite_entry(entry: Entry) -> SuiteEntry:
    return SuiteEntry(
        name=entry.name,
        parameters=entry.parameters,
        is_preset=entry.is_preset,
        default_tests=entry.default_tests,
        labelled=entry.labelled,
    )


def _quality_limits(model: Model) -> dict[str, QualityLimit]:
    return {
        metric: QualityLimit(alert.max, alert.min, alert.worse_than_reference)
        for metric, alert in model.alerts.quality.items()
    }
