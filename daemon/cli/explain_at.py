"""`driftd explain MODEL --at T`: why it spoke at an instant, or why it did not, as far as that is still known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daemon.cli.times import second

if TYPE_CHECKING:
    from daemon.config.settings import Settings
    from daemon.incidents.board import Board, WindowVerdicts
    from daemon.incidents.policy import Policy
    from daemon.schedule.watch import Watched
    from daemon.store import Connection
    from daemon.store.evaluations import Evaluation
    from detectors.findings import Finding
    from detectors.instants import Micros

FEW_LINES = 10
KINDS = ("drift", "quality")
STRETCHES = {
    "silence": "predictions stay away",
    "stalled": "a partition stands still",
    "lagging": "reading lags behind",
    "lost": "messages were lost",
}
"""Kinds of evaluations that are no window, and what they say while they last."""


@dataclass(slots=True)
class Scene:
    """What is looked at, and the sentences on what is not known any more."""

    conn: Connection
    watched: Watched
    board: Board
    policy: Policy
    at: Micros
    wall: Micros
    unknown: list[str] = field(default_factory=list)

    def say_unknown(self, sentence: str) -> None:
        if sentence not in self.unknown:
            self.unknown.append(sentence)

    def remembered(self, kind: str, start: Micros, end: Micros) -> WindowVerdicts | None:
        """What the board remembers of a window."""
        return next((one for one in self.board.windows if (one.kind, one.start, one.end) == (kind, start, end)), None)


def at_json(
    conn: Connection, settings: Settings, name: str, at: Micros, wall: Micros, *, everything: bool
) -> dict[str, Any]:
    """The windows that ended by `at` or contain it, the lines of the judged ones nearest to their limits first."""
    from daemon.cli.explain_at_lines import lines_of
    from daemon.incidents.board import Board
    from daemon.incidents.hindsight import order
    from daemon.incidents.policy import Policy
    from daemon.schedule.watch import Watched
    from daemon.store import incidents

    body = incidents.load_board(conn, name)
    board = Board(name) if body is None else Board.from_bytes(body)
    watched, policy = Watched.of(settings, name), Policy.of(settings.models[name])
    scene = Scene(conn, watched, board, policy, at, wall)
    windows: list[dict[str, Any]] = []
    lines: list[tuple[Finding, dict[str, Any]]] = []
    for kind in KINDS if watched.judges_quality else KINDS[:1]:
        for end in _ends(scene, kind, everything):
            shown, evaluation = _window(scene, kind, end)
            windows.append(shown)
            if evaluation is not None:
                lines += lines_of(scene, evaluation)
    placed = [lines[place] for place in order([finding for finding, _ in lines])]
    shown_lines = [shown for _, shown in placed] if everything else _each_once(scene, placed)[:FEW_LINES]
    return {
        "model": watched.name,
        "at": second(at),
        "watermark": second(watched.times(conn, wall).watermark),
        "for": policy.for_windows,
        "recover_after": policy.recover_after,
        "false_alarms_per_week": watched.rules.alarms_per_week,
        "incidents": _incidents(scene),
        "interruptions": _interruptions(scene),
        "windows": windows,
        "lines": shown_lines,
        "lines_left_out": len(placed) - len(shown_lines),
        "next": _next(scene),
        "unknown": scene.unknown,
    }


def _each_once(scene: Scene, lines: list[tuple[Finding, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each line in one window: the one that had ended by then if the line fired in it, else the one that came nearest.

    `lines` come in the order in which they are shown.
    """
    from daemon.incidents.lines import LineKey
    from detectors.findings import FIRING

    by_then = second(scene.at)
    assert by_then is not None
    chosen: dict[LineKey, dict[str, Any]] = {}
    settled: set[LineKey] = set()
    for finding, shown in lines:
        key = LineKey.of(finding)
        then = finding.verdict in FIRING and shown["window_end"] <= by_then
        if key not in chosen or (then and key not in settled):
            chosen[key] = shown
        if then:
            settled.add(key)
    return list(chosen.values())


def _ends(scene: Scene, kind: str, everything: bool) -> list[Micros]:
    """The ends of the windows in question: the last that was judged by then, the last by the clock, those around it."""
    from daemon.store import evaluations

    watched, at = scene.watched, scene.at
    by_then = at - at % watched.every
    around = list(range(by_then + watched.every, at + watched.size + 1, watched.every))
    if not everything:
        around = around[:1] + around[1:][-1:]
    judged = [end for end in evaluations.nearest_window_ends(scene.conn, watched.name, kind, at) if end <= at]
    return sorted({*judged, by_then, *around})


def _window(scene: Scene, kind: str, end: Micros) -> tuple[dict[str, Any], Evaluation | None]:
    """A window as it stands, and its last revision if it has been judged."""
    from daemon.store import evaluations

    watched = scene.watched
    found = list(evaluations.evaluated(scene.conn, model=watched.name, kind=kind, since=end, until=end + 1))
    last = found[-1] if found else None
    start = end - watched.size if last is None else last.window_start
    shown: dict[str, Any] = {"kind": kind, "start": second(start), "end": second(end), "rows": None, "revision": None}
    shown |= {"judged_at": None, "state": "not judged", "why": None}
    if last is None:
        return shown | {"why": _not_judged(scene, kind, start, end)}, None
    shown |= {"rows": last.rows, "revision": last.revision, "judged_at": second(found[0].evaluated_at)}
    remembered = scene.remembered(kind, start, end)
    if remembered is None:
        scene.say_unknown(
            f"whether the {kind} window to {second(end)} was held back, and how far its lines had counted: "
            f"only the last {len(scene.board.windows)} windows are remembered."
        )
        shown["state"] = "judged"
    elif remembered.failed:
        shown |= {"state": "failed", "why": "its evaluation failed, so it is no sign either way; it is tried again"}
    elif remembered.held is not None:
        shown |= {"state": "held", "why": f"held back: {remembered.held}; only rules that the data has broken count"}
    else:
        shown["state"] = "judged"
    if last.config_hash != watched.config_hash:
        scene.say_unknown(
            "The model's configuration has changed since: levels, `for` and what is important are today's."
        )
    return shown, last


def _not_judged(scene: Scene, kind: str, start: Micros, end: Micros) -> str:
    """Why there is no verdict on a window."""
    from daemon.store import collecting, panes, references

    conn, watched = scene.conn, scene.watched
    collection = collecting.load(conn, watched.name)
    if collection is not None and collection.judged_from is None:
        return "the model's reference is still being collected from its own traffic"
    if collection is not None and collection.judged_from is not None and start < collection.judged_from:
        return f"windows are judged from {second(collection.judged_from)} on: its reference was collected before"
    if collection is None and references.current(conn, watched.name) is None:
        return "the model has no reference, so nothing is judged"
    times = watched.times(conn, scene.wall)
    if times.watermark is None or times.watermark < end:
        return f"not every row before its end has been read: {_waits(scene)}"
    if not panes.pane_rows(conn, watched.name, start, end):
        first = panes.first_pane(conn, watched.name)
        if first is None or first >= end:
            return f"reading began later, with rows of {second(first)}" if first is not None else "no row has been read"
        return "no row of this model in it is in the store"
    if kind == "quality":
        return (
            f"its labels are waited for; they have come up to {second(watched.label_now(times)) or 'no known instant'}"
        )
    return "it was not due: windows of another length or step were judged then, or it is about to be"


def _waits(scene: Scene) -> str:
    """How far the watermark is, and which partition it waits for."""
    from daemon.store import watermarks

    watched = scene.watched
    mark = watched.times(scene.conn, scene.wall).watermark
    stands = "no watermark yet" if mark is None else f"the watermark stands at {second(mark)}"
    holding = watermarks.holding(
        scene.conn, watched.name, topics=watched.prediction_topics, clock=watched.clock, delay=watched.delay
    )
    if holding is None:
        return stands
    place = f"{holding.partition.topic}[{holding.partition.partition}]"
    if holding.position is None:
        return f"{stands}, because {place} has not been read yet"
    seen = second(holding.position.max_event_time)
    of = "" if holding.partition.end_offset is None else f" of {holding.partition.end_offset}"
    beyond = f"event time {seen}" if seen is not None else "any event time"
    return f"{stands}, because {place} has not been read beyond {beyond} (offset {holding.position.next_offset}{of})"


def _incidents(scene: Scene) -> list[dict[str, Any]]:
    """The incidents that lasted at that instant, by event time."""
    from daemon.incidents.incident import Incident
    from daemon.store import incidents

    found = []
    for stored in incidents.all_incidents(scene.conn, model=scene.watched.name):
        incident = Incident.from_bytes(stored.summary)
        over = None if incident.open else max([incident.since, *(entry.at for entry in incident.timeline)])
        if incident.since <= scene.at and (over is None or scene.at < over):
            opened = incident.timeline[0].at if incident.timeline else incident.since
            found.append(
                {
                    "incident": incident.id,
                    "since": second(incident.since),
                    "told": second(opened),
                    "until": second(over),
                }
            )
    return found


def _interruptions(scene: Scene) -> list[dict[str, Any]]:
    """What kept rows away at that instant, by the last word that was said of it until then."""
    from daemon.store import evaluations
    from detectors.findings import FIRING

    conn, watched, at = scene.conn, scene.watched, scene.at
    name = watched.name
    found = [
        {"kind": "silence", "start": second(span.start), "end": second(span.end), "detail": STRETCHES["silence"]}
        for span in scene.board.interruptions
        if span.start <= at and (span.end is None or at < span.end)
    ]
    for kind, words in STRETCHES.items():
        for end in [end for end in evaluations.nearest_window_ends(conn, name, kind, at) if end <= at]:
            rows = evaluations.results(conn, model=name, kind=kind, since=end, until=end + 1)
            found += [
                {"kind": kind, "start": second(row.window_start), "end": None, "detail": row.detail or words}
                for row in rows
                if row.finding.verdict in FIRING and not (kind == "silence" and (found or watched.clock == "event"))
            ]
    return found


def _next(scene: Scene) -> str:
    """When driftd speaks next after that instant."""
    from daemon.store import evaluations

    watched, at = scene.watched, scene.at
    end = at - at % watched.every + watched.every
    found = list(evaluations.evaluated(scene.conn, model=watched.name, kind="drift", since=end, until=end + 1))
    if found:
        return f"with the window that ends {second(end)}; it was judged at {second(found[0].evaluated_at)}"
    return f"with the window that ends {second(end)}, once every row before that has been read; {_waits(scene)}"
