"""An incident in plain sentences with numbers, the usual beside each; unescaped, without any receiver's markup."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from daemon.deliver.causes import before, likely
from daemon.incidents.incident import FAMILIES, Family, Incident, State
from daemon.incidents.lines import Facts, Line, LineKey
from daemon.incidents.policy import INTERRUPTIONS
from daemon.incidents.words import (
    SHARES,
    capital,
    clauses,
    day,
    gravest,
    length,
    metric_name,
    names,
    quality_name,
    segment_name,
    subject,
)
from detectors.findings import SUITE, Signal
from detectors.instants import SECOND, Micros

MAX_FINDINGS = 5
MAX_SEGMENTS = 5
_SHIFT = re.compile(r"([\d.]+) → ([\d.]+) %$")


def number(value: float) -> str:
    """Three significant digits, never an exponent for what people write out.

    >>> [number(x) for x in (7.1, 18.42, 0.3142, 930.0, 12400.0, 1e-7, -0.5)]
    ['7.1', '18.4', '0.314', '930', '12,400', '<0.001', '-0.5']
    """
    if value != value:
        return "none"
    size = abs(value)
    if 0 < size < 0.001:
        return "<0.001" if value > 0 else ">-0.001"
    if size >= 1e12:
        return f"{value:.3g}"
    if size >= 100:
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):g}"


def aligned(*values: float) -> list[str]:
    """Numbers that stand side by side, all with as many decimals as the largest needs.

    >>> aligned(7.12, 18.43), aligned(0.312, 0.1, 0.041), aligned(0.00001, 0.05)
    (['7.1', '18.4'], ['0.31', '0.10', '0.04'], ['<0.001', '0.050'])
    """
    largest = max(abs(value) for value in values)
    decimals = 0 if largest >= 100 else 1 if largest >= 10 else 2 if largest >= 0.1 else 3
    return [number(value) if 0 < abs(value) < 0.001 else f"{value:,.{decimals}f}" for value in values]


def percent(share: float) -> str:
    """A share in 0..1 as people read it.

    >>> percent(0.38), percent(0.0042), percent(0.0)
    ('38 %', '0.42 %', '0 %')
    """
    return f"{number(round(share * 100, 2))} %"


def measured(key: LineKey, value: float) -> str:
    """A value of the line's metric, in its unit where it has one."""
    if key.metric in ("silence", "lag"):
        return length(int(value * SECOND))
    return percent(value) if key.metric in SHARES else number(value)


def happened(line: Line) -> str:
    """What one line measured, in numbers; falls back to the bare fact where there are none."""
    key, facts = line.key, line.facts
    match key.signal:
        case _ if key.metric.startswith(SUITE) and facts.value is not None:
            text = _of_suite(key, facts, facts.value)
        case Signal.QUALITY | Signal.ESTIMATED_QUALITY:
            text = _quality(key, facts)
        case Signal.PREDICTION_DRIFT | Signal.LABEL_DRIFT | Signal.FEATURE_DRIFT:
            text = _moved(key, facts)
        case Signal.NO_PREDICTIONS:
            # Only a model that never had a row has a reason that is not the producer's end.
            text = capital(facts.driver or "The producer has stopped: every partition is read to its end")
        case Signal.DATA_QUALITY if facts.current is not None:
            text = _bad_data(key, facts.current, facts)
        case _:
            text = capital(facts.detail or facts.driver or subject(key))
    return text + (f" for {segment_name(key.segment)}" if key.segment else "")


_BAD_DATA = {
    "duplicate_items": "{value} of the lists hold an item twice",
    "invalid_scores": "{column} is no probability in {value} of rows",
    "long_lists": "{value} of the lists are longer than what is judged of them",
    "missing": "{column} is missing in {value} of rows",
    "missing_maximum": "{column} is missing in {value} of rows",
    "nonfinite": "{column} is infinite in {value} of rows",
    "out_of_range": "{column} is out of range in {value} of rows",
    "rows": "{value} rows",
    "stuck": "{column} has one value in {value} of rows",
    "unknown_labels": "{value} of the labels are of a class that the model does not have",
    "unseen": "{column} has values never seen before in {value} of rows",
}


def _bad_data(key: LineKey, current: float, facts: Facts) -> str:
    if key.metric == "missing_maximum" and facts.threshold is not None:
        usual = f" (at most {measured(key, facts.threshold)} allowed)"
    else:
        usual = "" if facts.usual is None else f" (usual {measured(key, facts.usual)})"
    value = measured(key, current)
    template = _BAD_DATA.get(key.metric, f"{capital(subject(key))}: {{value}}")
    return template.format(column=key.column or "the rows", value=value) + usual


def _quality(key: LineKey, facts: Facts) -> str:
    name = quality_name(key)
    current = facts.current if facts.current is not None else facts.value
    if current is None:
        return capital(subject(key))
    beside = {"usual": facts.usual, "limit": facts.threshold}
    known = {word: value for word, value in beside.items() if value is not None}
    first, *others = aligned(current, *known.values())
    said = ", ".join(f"{word} {value}" for word, value in zip(known, others, strict=True))
    return f"{capital(name)} {first}" + (f" ({said})" if said else "")


def _of_suite(key: LineKey, facts: Facts, value: float) -> str:
    """A value of the model's own Evidently suite, with its limit and the reference's own value."""
    of = f" of {key.column}" if key.column else ""
    beside = {"limit": facts.threshold, "reference": facts.usual}
    said = ", ".join(f"{word} {number(known)}" for word, known in beside.items() if known is not None)
    return f"{metric_name(key.metric)}{of} is {number(value)}" + (f" ({said})" if said else "")


def _moved(key: LineKey, facts: Facts) -> str:
    """The means of a numeric column; of a categorical one the share that moved most."""
    if facts.usual is None or facts.current is None or _driver_is_the_share(facts):
        return capital(facts.driver) if facts.driver else capital(subject(key))
    usual, current = aligned(facts.usual, facts.current)
    return f"Mean {key.column or 'label'} {usual} → {current}"


def _driver_is_the_share(facts: Facts) -> bool:
    """Whether the driver's own percentages are `usual` and `current`: then they are a share, not means."""
    found = _SHIFT.search(facts.driver or "")
    if found is None or facts.usual is None or facts.current is None:
        return False
    shown = (float(found[1].rstrip(".")), float(found[2].rstrip(".")))
    return all(
        abs(text - 100 * share) <= max(0.51, 0.02 * text)
        for text, share in zip(shown, (facts.usual, facts.current), strict=True)
    )


@dataclass(frozen=True, slots=True)
class Story:
    """An incident, told: each field one line, empty where there is nothing to say."""

    title: str
    changed: tuple[str, ...]
    since: str
    cause: str
    before: str
    findings: str
    held: str
    state: str


def story(incident: Incident, zone: tzinfo = UTC, labels_within: Micros | None = None) -> Story:
    """Tell an incident that has not ended; its model's labels come within a time, None: never."""
    told = [line for line in gravest(incident.lines) if line.told]
    causes = [line for line in told if line.key.signal is Signal.FEATURE_DRIFT]
    heads = [line for line in told if line.key.signal is not Signal.FEATURE_DRIFT] or causes
    causes = [line for line in causes if line not in heads]
    heads = _measured_first(heads)
    return Story(
        title=title(heads),
        changed=tuple(_changed(heads, labels_within)),
        since=" · ".join(_since(incident, heads, zone)),
        cause=_cause(causes) if incident.causes is None else likely(incident, zone),
        before=before(incident, zone),
        findings=_findings(incident, told),
        held=_held(incident),
        state=_recovering(incident, heads),
    )


def _measured_first(heads: list[Line]) -> list[Line]:
    """The lines without estimates of what has been measured to be bad too."""
    known = {(line.key.metric, line.key.segment) for line in heads if line.key.signal is Signal.QUALITY}
    return [
        line
        for line in heads
        if line.key.signal is not Signal.ESTIMATED_QUALITY or (line.key.metric, line.key.segment) not in known
    ]


def title(heads: list[Line]) -> str:
    """What is wrong, in a few words."""
    gravest_line = heads[0]
    if gravest_line.key.signal is Signal.NO_PREDICTIONS and gravest_line.facts.value is not None:
        return f"no predictions for {length(int(gravest_line.facts.value * SECOND))}"
    of_signal = [line.key for line in heads if line.key.signal is gravest_line.key.signal]
    return clauses(of_signal, limit=2)


def _changed(heads: list[Line], labels_within: Micros | None) -> list[str]:
    """Up to three sentences, each subject once, its total before its segments."""
    sentences: dict[str, str] = {}
    for line in heads:
        text = happened(line)
        if line.key.signal is Signal.ESTIMATED_QUALITY and labels_within is not None:
            text += f"; measured {metric_name(line.key.metric)} within {length(labels_within)}"
        sentences.setdefault(subject(line.key), text)
    changed = list(sentences.values())[:3]
    if any(line.key.signal in INTERRUPTIONS for line in heads):
        changed.append("Drift and quality are held back meanwhile")
    return changed


def clock(instant: Micros, zone: tzinfo = UTC) -> str:
    """Day and second, for what is looked up in a log.

    >>> clock(1360299600000000)
    '8 Feb 05:00:00 UTC'
    """
    moment = datetime.fromtimestamp(instant // SECOND, zone)
    return f"{moment.day} {moment:%b %H:%M:%S %Z}"


def zone_name(instant: Micros, zone: tzinfo) -> str:
    """The zone's short name at the instant, such as UTC."""
    return datetime.fromtimestamp(instant // SECOND, zone).tzname() or ""


def _since(incident: Incident, heads: list[Line], zone: tzinfo) -> list[str]:
    """Since when, how many rows against the usual, which versions, where."""
    first = heads[0]
    if first.key.signal is Signal.NO_PREDICTIONS:
        usual = first.facts.usual
        gap = [] if usual is None else [f"Usual gap at most {length(int(usual * SECOND))}"]
        began = "Last row" if first.facts.driver is None else "No row since reading began on"
        return [f"{began} {clock(first.since, zone)}", *gap]
    windows = f" ({incident.windows} windows)" if incident.windows > 1 else ""
    parts = [f"Since {day(incident.since, zone)} {zone_name(incident.since, zone)}{windows}"]
    if incident.rows is not None:
        usual_rows = "" if incident.usual_rows is None else f" (usual {number(incident.usual_rows)})"
        parts.append(f"Rows {number(incident.rows)}{usual_rows}")
    elif first.key.signal is Signal.QUALITY and first.facts.rows:
        parts.append(f"Rows with a label {number(first.facts.rows)}")
    versions = sorted({line.key.version for line in heads if line.key.version})
    if versions:
        shown = ", ".join(versions[:3]) + (f" and {len(versions) - 3} more" if len(versions) > 3 else "")
        parts.append(f"Version{'s' if len(versions) > 1 else ''} {shown}")
    if where := f"Where: {incident.where}" if incident.where else _where(heads):
        parts.append(where)
    return parts


def _where(heads: list[Line]) -> str:
    """Where it shows: the segments that fire, the largest value first."""

    def size(line: Line) -> float:
        return -abs(line.facts.value or 0.0)

    segments = [line.key.segment for line in sorted(heads, key=size) if line.key.segment]
    segments = list(dict.fromkeys(segments))
    if not segments:
        return ""
    columns, places = None, []
    for segment in segments[:MAX_SEGMENTS]:
        # "origin LGA, JFK": the column is said once.
        same = tuple(column for column, _ in segment) == columns and len(segment) == 1
        places.append(segment[0][1] if same else segment_name(segment))
        columns = tuple(column for column, _ in segment)
    total = any(not line.key.segment for line in heads)
    more = f" and {len(segments) - MAX_SEGMENTS} more" if len(segments) > MAX_SEGMENTS else ""
    return f"Where: {'most in ' if total else 'only '}{', '.join(places)}{more}"


def _cause(causes: list[Line]) -> str:
    """The features that moved with it, the largest first."""
    shifts: dict[str, str] = {}
    for line in causes:
        name = line.key.column or ""
        shifts.setdefault(name, line.facts.driver or happened(line))
    if not shifts:
        return ""
    more = f" and {len(shifts) - 2} more" if len(shifts) > 2 else ""
    return "Likely cause: " + "; ".join(list(shifts.values())[:2]) + more


def _findings(incident: Incident, told: list[Line]) -> str:
    """The measured values with limit and noise floor, one a column and metric."""
    shown: dict[tuple[str | None, str], str] = {}
    for line in told:
        if line.facts.value is None or line.key.signal in (Signal.NO_PREDICTIONS, Signal.LAGGING, Signal.STALLED):
            continue
        shown.setdefault((line.key.column, line.key.metric), _finding(line))
    parts = list(shown.values())[:MAX_FINDINGS]
    if len(shown) > MAX_FINDINGS:
        parts.append(f"and {len(shown) - MAX_FINDINGS} more")
    if incident.quiet_columns and incident.family is Family.MODEL:
        plural = "s" if incident.quiet_columns > 1 else ""
        parts.append(f"{incident.quiet_columns} other column{plural} quiet" if parts else "")
    return " · ".join(part for part in parts if part)


def _finding(line: Line) -> str:
    key, facts = line.key, line.facts
    beside = {"": facts.value, "limit": facts.threshold, "noise": facts.noise_floor}
    known = {word: value for word, value in beside.items() if value is not None}
    unit = key.metric in SHARES
    values = [percent(value) for value in known.values()] if unit else aligned(*known.values())
    said = [f"{word} {value}".strip() for word, value in zip(known, values, strict=True)]
    text = " ".join(filter(None, (key.column, quality_name(key), *said)))
    return text + (f" ({segment_name(key.segment)})" if key.segment else "")


def _held(incident: Incident) -> str:
    return f"Held back: {incident.held}, so drift and quality are not judged meanwhile" if incident.held else ""


def _recovering(incident: Incident, heads: list[Line]) -> str:
    if incident.state is not State.RECOVERING:
        return ""
    quiet = min((line.quiet for line in heads), default=0)
    return f"Recovering: quiet for {quiet} window{'s' if quiet > 1 else ''}.{_now(heads[0])}".rstrip(".")


def recovered(incident: Incident, zone: tzinfo = UTC) -> tuple[str, str]:
    """An incident that has ended: a few words, and one line of what it was, why, and how it is now."""
    lines = [line for line in gravest(incident.lines) if FAMILIES[line.key.signal] is incident.family]
    heads = [line for line in lines if line.key.signal is not Signal.FEATURE_DRIFT] or lines
    first = heads[0]
    ended = incident.timeline[-1].at if incident.timeline else incident.window_end
    ended = max([entry.at for entry in incident.timeline if entry.text.startswith("Recovered")] or [ended])
    span = f"{day(incident.since, zone)} to {day(ended, zone)} {zone_name(ended, zone)}"
    span += f" ({length(ended - incident.since)})"
    if first.key.signal is Signal.NO_PREDICTIONS:
        return "predictions are back", f"No predictions from {span}."
    moved = [line for line in lines if line not in heads]
    cause = _cause(moved) if incident.causes is None else likely(incident, zone)
    said = [f"{happened(first)} from {span}.", _now(first).strip(), f"{cause}." if cause else ""]
    return f"{names([first.key])} back to usual", " ".join(filter(None, said))


def _now(line: Line) -> str:
    """The newest value beside the usual one, where both are known."""
    latest = line.latest
    if latest.usual is None or latest.current is None or (latest.driver and _driver_is_the_share(latest)):
        return ""
    if line.key.signal in (Signal.DATA_QUALITY, Signal.SCHEMA) and not line.key.metric.startswith(SUITE):
        return f" Now {measured(line.key, latest.current)} (usual {measured(line.key, latest.usual)})."
    if line.key.metric.startswith(SUITE):
        return f" Now {number(latest.current)} (reference {number(latest.usual)})."
    current, usual = aligned(latest.current, latest.usual)
    quality = line.key.signal in (Signal.QUALITY, Signal.ESTIMATED_QUALITY)
    what = quality_name(line.key) if quality else f"mean {line.key.column or 'label'}"
    return f" Now {what} {current} (usual {usual})."
