"""What probably brought an incident about: candidates from what is known of its beginning, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log10

from daemon.incidents.cause import Cause, CauseKind
from daemon.incidents.incident import Family, Incident
from daemon.incidents.lines import Line, LineKey, Reading, reading
from daemon.incidents.policy import INTERRUPTIONS
from daemon.incidents.words import listed, metric_name, segment_name, subject
from detectors.findings import FIRING, Finding, Signal
from detectors.instants import Micros

MAX_CAUSES = 8
"""Candidates that an incident keeps."""
LOOK_BACK_WINDOWS = 2
"""What began longer before an incident is not what it came of, unless it lasts."""
LATE_SHARE = 0.05
"""Rows that came late are a candidate from this share of a window on, and as likely as can be from four times that."""
FEW_ROWS = 0.05
"""A version with less than this share of the rows moves nothing that is measured over all of them."""

PRIOR: Mapping[CauseKind, float] = {
    CauseKind.SCHEMA: 0.95,
    CauseKind.VALUES: 0.85,
    CauseKind.VERSION: 0.8,
    CauseKind.LATE_ROWS: 0.75,
    CauseKind.LOST_ROWS: 0.75,
    CauseKind.COLUMN: 0.7,
    CauseKind.ROWS: 0.6,
    CauseKind.LABELS: 0.55,
    CauseKind.READING: 0.5,
    CauseKind.NEIGHBOUR: 0.45,
    CauseKind.SEGMENT: 0.3,
}
"""How likely each kind is at its clearest. First what breaks a column, or replaces the model: it explains that columns
and predictions move, and never the reverse. Then rows that are not there: columns look moved without them. What only
says that others suffer too, or where it shows, explains least."""

_OF_DATA = frozenset(
    {CauseKind.VERSION, CauseKind.LATE_ROWS, CauseKind.LOST_ROWS, CauseKind.READING, CauseKind.NEIGHBOUR}
)
"""What may lie behind an incident of the data: its columns are the incident itself."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A finding that fired near the incident's beginning, and when: the start of the first window that it fired in."""

    finding: Finding
    at: Micros


@dataclass(frozen=True, slots=True)
class SeenVersion:
    """A version that had no rows just before: since when it has some, its share of the newest window's, and of how
    many that came in the last weeks it is one. `again`: it had rows long ago.
    """

    version: str
    at: Micros
    share: float
    of_recent: int = 1
    again: bool = False


@dataclass(frozen=True, slots=True)
class LateRows:
    """How many rows of a window that ends at `end` were there when it was judged first, and how many came later."""

    end: Micros
    rows: int
    late: int

    @property
    def share(self) -> float:
        return self.late / max(1, self.rows + self.late)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A model that reads a topic of this one's, with an open incident of its own."""

    model: str
    incident: str
    since: Micros


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of an incident's beginning. `size` is a window's length; `present` are all findings of the window
    that was judged just now; `neighbours` of `sharing` models that read the same topics.
    """

    size: Micros
    signs: Sequence[Sign] = ()
    present: Sequence[Finding] = ()
    versions: Sequence[SeenVersion] = ()
    late: Sequence[LateRows] = ()
    neighbours: Sequence[Neighbour] = ()
    sharing: int = 0
    rows: int = 0


def rank(incident: Incident, known: Circumstances) -> tuple[Cause, ...]:
    """The candidates, the likeliest first, each column once."""
    found = [*_signs(incident, known), *_versions(incident, known), *_late(incident, known)]
    found += [*_neighbours(incident, known), *_segments(incident, known)]
    if incident.family is Family.DATA:
        found = [cause for cause in found if cause.kind in _OF_DATA]
    best: dict[tuple[CauseKind, str], Cause] = {}
    for cause in sorted(found, key=lambda cause: (-cause.score, cause.kind, cause.text)):
        best.setdefault((cause.kind, cause.column or cause.text), cause)
    return tuple(best.values())[:MAX_CAUSES]


def heads(incident: Incident) -> list[Line]:
    """The lines that an incident is about: drift of a feature is its cause, unless there is nothing else."""
    told = [line for line in incident.lines if line.told] or list(incident.lines)
    return [line for line in told if line.key.signal is not Signal.FEATURE_DRIFT] or told


def _signs(incident: Incident, known: Circumstances) -> Iterator[Cause]:
    own = {line.key for line in heads(incident)}
    for sign in known.signs:
        finding = sign.finding
        key = LineKey.of(finding)
        kind = _kind(key)
        timing = _timing(sign.at, incident.since, known.size, lasts=True)
        if kind is None or key in own or timing is None:
            continue
        near, when = timing
        strength, size = _strength(kind, finding, known.rows)
        of_segment = 0.8 if key.segment else 1.0
        yield Cause(
            kind,
            _words(kind, key, finding),
            round(PRIOR[kind] * near * strength * of_segment, 3),
            ", ".join(filter(None, (size, when, "of one segment only" if key.segment else ""))),
            sign.at,
            key.column,
        )


def _words(kind: CauseKind, key: LineKey, finding: Finding) -> str:
    said = finding.driver or subject(key)
    if kind in (CauseKind.READING, CauseKind.LOST_ROWS) and finding.detail:
        said = f"{subject(key)}: {finding.detail}"
    return said + (f" for {segment_name(key.segment)}" if key.segment else "")


def _kind(key: LineKey) -> CauseKind | None:
    match key.signal:
        case Signal.SCHEMA:
            return CauseKind.SCHEMA
        case Signal.DATA_QUALITY if key.metric == "lost_offsets":
            return CauseKind.LOST_ROWS
        case Signal.DATA_QUALITY:
            return CauseKind.VALUES if key.column is not None else CauseKind.ROWS
        case Signal.FEATURE_DRIFT:
            return CauseKind.COLUMN if key.column is not None else None
        case Signal.LABEL_DRIFT:
            return CauseKind.LABELS
        case signal if signal in INTERRUPTIONS:
            return CauseKind.READING
        case _:
            return None


def _strength(kind: CauseKind, finding: Finding, rows: int) -> tuple[float, str]:
    """How clear a sign is, 0..1, and in words."""
    if kind is CauseKind.LOST_ROWS:
        share = (finding.value or 0.0) / max(1.0, 4 * LATE_SHARE * rows)
        return min(1.0, share), f"{finding.value or 0:.0f} offsets were never read"
    if finding.immediate or kind is CauseKind.READING:
        return 1.0, f"{metric_name(finding.metric)} broke its rule"
    times = excess(finding)
    # Of two columns far beyond their limits the one that chance explains least comes first.
    unlikely = 1.0 if finding.p_value is None else min(1.0, -log10(max(finding.p_value, 1e-300)) / 6)
    words = f"{metric_name(finding.metric)} {times:.1f} times its limit"
    if finding.p_value is not None:
        words += f", p {finding.p_value:.2g}"
    return times / (times + 1) * (0.7 + 0.3 * unlikely), words


def excess(finding: Finding) -> float:
    """How many times its limit a finding that fired has reached, up to 1,000; a p-value falls below its own."""
    value, limit = finding.value, finding.threshold
    if value is None or limit is None:
        return 1.0
    value, limit = max(abs(value), 1e-12), max(abs(limit), 1e-12)
    return min(1000.0, max(value / limit, limit / value))


def _timing(at: Micros, since: Micros, size: Micros, *, lasts: bool = False) -> tuple[float, str] | None:
    """How well an instant fits the beginning, 0..1, and in words; None when it cannot have brought it about."""
    if at >= since + size:
        return None
    if at > since - size:
        return 1.0, "began with it"
    if at >= since - LOOK_BACK_WINDOWS * size:
        return 0.8, "began just before"
    return (0.4, "began long before, and lasts") if lasts else None


def _versions(incident: Incident, known: Circumstances) -> Iterator[Cause]:
    for seen in known.versions:
        timing = _timing(seen.at, incident.since, known.size)
        if timing is None:
            continue
        near, when = timing
        only, others = _alone(incident, known, seen)
        recent = "" if seen.of_recent < 2 else f"one of {seen.of_recent} that came in the last weeks"
        yield Cause(
            CauseKind.VERSION,
            f"version {seen.version} is {'back' if seen.again else 'new'}",
            round(min(1.0, PRIOR[CauseKind.VERSION] * near * only / max(1, seen.of_recent)), 3),
            ", ".join(filter(None, (when, f"{100 * seen.share:.0f} % of the rows", others, recent))),
            seen.at,
        )


def _alone(incident: Incident, known: Circumstances, seen: SeenVersion) -> tuple[float, str]:
    """Whether the new version alone is concerned, by the same lines of the versions beside it."""
    own = heads(incident)
    versions = {line.key.version for line in own} - {None}
    if versions and seen.version not in versions:
        return 0.1, "it is not concerned"
    if len(versions) > 1:
        return 0.3, "older versions are concerned too"
    if not versions and seen.share < FEW_ROWS:
        return 0.1, "too few rows to move all of them"
    lines = {(line.key.signal, line.key.metric, line.key.column) for line in own}
    beside = [
        finding
        for finding in known.present
        if finding.version not in (None, seen.version) and (finding.signal, finding.metric, finding.column) in lines
    ]
    if versions and beside and all(reading(finding.verdict) is Reading.QUIET for finding in beside):
        return 1.2, "the older versions are quiet"
    return 1.0, ""


def _late(incident: Incident, known: Circumstances) -> Iterator[Cause]:
    worst = max(
        (one for one in known.late if one.share >= LATE_SHARE), key=lambda one: (one.share, one.end), default=None
    )
    timing = None if worst is None else _timing(worst.end - known.size, incident.since, known.size)
    if worst is None or timing is None:
        return
    near, when = timing
    yield Cause(
        CauseKind.LATE_ROWS,
        f"{worst.late:,} rows of a window came late, {100 * worst.share:.0f} % of it",
        round(PRIOR[CauseKind.LATE_ROWS] * near * min(1.0, worst.share / (4 * LATE_SHARE)), 3),
        f"{worst.rows:,} rows were there when it was judged first, the window {when}",
        worst.end - known.size,
    )


def _neighbours(incident: Incident, known: Circumstances) -> Iterator[Cause]:
    near = [one for one in known.neighbours if abs(one.since - incident.since) <= LOOK_BACK_WINDOWS * known.size]
    if not near:
        return
    share = len(near) / max(1, known.sharing)
    names = listed([f"{one.model} ({one.incident})" for one in near], 2)
    have = "has an incident" if len(near) == 1 else "have incidents"
    yield Cause(
        CauseKind.NEIGHBOUR,
        f"{names} of the same topic {have} too",
        round(PRIOR[CauseKind.NEIGHBOUR] * (0.6 + 0.4 * share), 3),
        f"{len(near)} of {known.sharing} that read it, at about the same time",
        min(one.since for one in near),
    )


def _segments(incident: Incident, known: Circumstances) -> Iterator[Cause]:
    for columns, (loud, quiet) in spread(incident, known.present).items():
        if len(loud) == 1 and quiet:
            values = segment_name(tuple(zip(columns, loud[0], strict=True)))
            others = f"{quiet} others are quiet" if quiet > 1 else "the other one is quiet"
            yield Cause(
                CauseKind.SEGMENT,
                f"something of {values} alone",
                PRIOR[CauseKind.SEGMENT],
                f"of {' and '.join(columns)}: {others}",
                incident.since,
            )


Places = dict[tuple[str, ...], tuple[list[tuple[str, ...]], int]]


def spread(incident: Incident, present: Iterable[Finding]) -> Places:
    """By segmentation the values in which the incident's own lines fire now, the largest first, and how many do not.

    A segment that could not be decided, such as one with too few rows, is neither.
    """
    lines = {(line.key.signal, line.key.metric, line.key.column) for line in heads(incident)}
    sizes: dict[tuple[str, ...], dict[tuple[str, ...], float]] = {}
    for finding in present:
        if finding.segment is None or (finding.signal, finding.metric, finding.column) not in lines:
            continue
        if reading(finding.verdict) is Reading.UNDECIDED:
            continue
        columns = tuple(sorted(finding.segment))
        values = tuple(finding.segment[column] for column in columns)
        size = excess(finding) if finding.verdict in FIRING else 0.0
        known = sizes.setdefault(columns, {})
        known[values] = max(size, known.get(values, 0.0))
    places: Places = {}
    for columns, known in sizes.items():
        loud = sorted((values for values, size in known.items() if size), key=lambda values: (-known[values], values))
        places[columns] = (loud, len(known) - len(loud))
    return places


def where(incident: Incident, present: Iterable[Finding]) -> str:
    """Where it shows, of the segmentation that tells most: in one place, in some of them, or in all; empty: unknown."""
    told = [(columns, loud, quiet) for columns, (loud, quiet) in spread(incident, present).items() if loud]
    if not told:
        return ""
    columns, loud, quiet = min(told, key=lambda one: (len(one[1]) / (len(one[1]) + one[2]), len(one[0]), one[0]))
    of = " and ".join(columns)
    if len(loud) == 1:
        return f"only {segment_name(tuple(zip(columns, loud[0], strict=True)))}" if quiet else ""
    most = ", ".join(loud[0])
    if not quiet:
        return f"all {len(loud)} of {of}, most in {most}"
    return f"{len(loud)} of {len(loud) + quiet} of {of}, most in {most}"


__all__ = ["Circumstances", "LateRows", "Neighbour", "SeenVersion", "Sign", "rank", "where"]
