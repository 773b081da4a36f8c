"""The values of one window, each with what it was held against and what was missing for it to be told."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from daemon.cli.explain_lines import finding_json
from daemon.cli.times import second
from daemon.incidents.board import MAX_WINDOWS
from daemon.incidents.hindsight import Counted, Remembered, Significance, as_of, nearness, why
from daemon.incidents.lines import Line, LineKey, Phase
from daemon.store import evaluations, references
from detectors.findings import Finding, Signal
from detectors.judgement import PORTIONS, Share

if TYPE_CHECKING:
    from daemon.cli.explain_at import Scene
    from daemon.store.evaluations import Evaluation, ResultRow
    from detectors.instants import Micros

Levels = dict[Share, float]


def lines_of(scene: Scene, evaluation: Evaluation) -> list[tuple[Finding, dict[str, Any]]]:
    """Each finding of a window, with the same as JSON."""
    kind, end = evaluation.kind, evaluation.window_end
    window = scene.remembered(kind, evaluation.window_start, end)
    history, truncated = ({}, False) if window is None else _history(scene, kind, end)
    rows = list(
        evaluations.results(scene.conn, model=evaluation.model, kind=kind, since=end, until=end + 1, final_only=True)
    )
    tests = _tests([row.finding for row in rows], _levels(scene, evaluation))
    found = []
    for row in rows:
        finding = row.finding
        key = LineKey.of(finding)
        past = history.get(key, [])
        line = as_of(key, past, kind, scene.policy)
        counted = None if window is None else Counted(window.held, line)
        test = tests.get(_group(finding))
        shown = _json(row, finding, test) | _counted_json(scene, counted, finding)
        first = past[0][0].start if past else 0
        shown["at_least"] = line is not None and truncated and line.since < first + scene.watched.size
        shown["why"] = why(finding, scene.policy, counted=counted, test=test, told=row.incident is not None)
        found.append((finding, shown))
    return found


def _history(scene: Scene, kind: str, end: Micros) -> tuple[dict[LineKey, list[Remembered]], bool]:
    """By line what the remembered windows until `end` said, as far back as counting needs; whether that is not all."""
    policy = scene.policy
    since = end - (policy.for_windows + policy.recover_after + 1) * scene.watched.size
    all_of_kind = sorted((one for one in scene.board.windows if one.kind == kind), key=lambda one: one.end)
    windows = [one for one in all_of_kind if since <= one.end <= end]
    said: dict[tuple[Micros, Micros], dict[LineKey, Finding]] = defaultdict(dict)
    rows = evaluations.results(
        scene.conn, model=scene.watched.name, kind=kind, since=windows[0].end, until=end + 1, final_only=True
    )
    for row in rows:
        said[row.window_start, row.window_end].setdefault(LineKey.of(row.finding), row.finding)
    keys = {key for findings in said.values() for key in findings}
    history = {key: [(one, said[one.start, one.end].get(key)) for one in windows] for key in keys}
    return history, len(windows) < len(all_of_kind) or len(scene.board.windows) >= MAX_WINDOWS


def _levels(scene: Scene, evaluation: Evaluation) -> Levels | None:
    """The level of each share when the window was judged; None when its reference is not there any more."""
    from daemon.schedule.windows import LIVE_WINDOWS
    from detectors.budget import level
    from detectors.noise import Noise
    from detectors.reference import Reference
    from detectors.variation import WindowVector

    rules, rho = scene.watched.rules, 0.0
    if evaluation.kind == "drift":
        hash_ = evaluation.reference
        stored = None if hash_ is None else references.load(scene.conn, hash_)
        if stored is None or hash_ is None:
            scene.say_unknown(
                f"the level of the window to {second(evaluation.window_end)}: its reference is not in the store."
            )
            return None
        as_known = evaluation.window_end - scene.watched.lateness
        live = references.live_windows(scene.conn, evaluation.model, hash_, as_known, limit=LIVE_WINDOWS)
        rho = Noise.of(Reference.from_bytes(stored.body), [WindowVector.from_bytes(vector) for vector in live]).rho
    # What is not held against ordinary windows' drift does not know how alike neighbours are.
    alike = {share: 0.0 if share in (Share.QUALITY, Share.ESTIMATED) else rho for share in Share}
    return {
        share: level(rules.alarms_per_week * PORTIONS[share], rules.size, rules.every, rules.for_windows, alike[share])
        for share in Share
    }


_Group = tuple[Share, bool]
"""A share of the budget, and whether the value is a segment's: these are tested together."""


def _group(finding: Finding) -> _Group | None:
    """Where a value was tested; None for a rule, which is not."""
    if finding.immediate or finding.p_value is None:
        return None
    match finding.signal:
        case Signal.QUALITY:
            share = Share.QUALITY
        case Signal.ESTIMATED_QUALITY:
            share = Share.ESTIMATED
        case Signal.DATA_QUALITY:
            share = Share.VOLUME if finding.metric == "rows" else Share.DATA_QUALITY
        case _:
            share = Share.DRIFT
    return share, finding.segment is not None


def _tests(findings: list[Finding], levels: Levels | None) -> dict[_Group | None, Significance]:
    """By group its level, half of the share's where there are segments, and how many values it is for."""
    if levels is None:
        return {}
    count: dict[_Group, int] = defaultdict(int)
    for finding in findings:
        if (group := _group(finding)) is not None:
            count[group] += 1
    split = {share for share, of_segment in count if of_segment}
    return {
        (share, of_segment): Significance(
            levels[share] / (2 if share in split else 1), values, share.value, PORTIONS[share]
        )
        for (share, of_segment), values in count.items()
    }


def _json(row: ResultRow, finding: Finding, test: Significance | None) -> dict[str, Any]:
    return finding_json(row) | {
        "kind": row.kind,
        "level": None if test is None else test.level,
        "budget": None if test is None else test.share,
        "budget_portion": None if test is None else test.portion,
        "tested_together": None if test is None else test.values,
        "nearness": nearness(finding),
        "incident": row.incident,
    }


def _counted_json(scene: Scene, counted: Counted | None, finding: Finding) -> dict[str, Any]:
    """How many windows had counted, None where that is not known, and which is the next that can."""
    line: Line | None = None if counted is None else counted.line
    following = None
    if line is not None and line.phase is Phase.PENDING:
        every, first = scene.watched.every, line.counted_until + scene.watched.size
        following = second(-(-first // every) * every)
    return {
        "windows_flagged": None if counted is None else 0 if line is None else line.flagged,
        "for": None if finding.immediate else scene.policy.for_windows,
        "phase": None if counted is None else Phase.QUIET.value if line is None else line.phase.value,
        "next_counted_window_end": following,
    }
