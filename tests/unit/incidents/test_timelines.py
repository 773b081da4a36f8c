"""What is observed at which hour, in which state that leaves the incidents, and what people are told."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from daemon.incidents.board import Board, Change, Held, Kind, Observation, Policy, step
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import HOUR, MINUTE

MEASURED = {
    "pred": Finding(Signal.PREDICTION_DRIFT, "psi", Verdict.DRIFT, column="prediction"),
    "pred7": Finding(Signal.PREDICTION_DRIFT, "psi", Verdict.DRIFT, column="prediction", version="7"),
    "pred8": Finding(Signal.PREDICTION_DRIFT, "psi", Verdict.DRIFT, column="prediction", version="8"),
    "predJFK": Finding(Signal.PREDICTION_DRIFT, "psi", Verdict.DRIFT, column="prediction", segment={"origin": "JFK"}),
    "dep": Finding(Signal.FEATURE_DRIFT, "psi", Verdict.DRIFT, column="dep_delay"),
    "carrier": Finding(Signal.FEATURE_DRIFT, "tvd", Verdict.DRIFT, column="carrier"),
    "mae": Finding(Signal.QUALITY, "mae", Verdict.DEGRADED),
    "mae_max": Finding(Signal.QUALITY, "mae", Verdict.VIOLATED, immediate=True),
    "missing": Finding(Signal.DATA_QUALITY, "missing", Verdict.VIOLATED, column="dep_delay"),
    "schema": Finding(Signal.SCHEMA, "mistyped", Verdict.VIOLATED, column="dep_delay", immediate=True),
    "silent": Finding(Signal.NO_PREDICTIONS, "silence", Verdict.VIOLATED, immediate=True),
    "stalled": Finding(Signal.STALLED, "lag", Verdict.VIOLATED, immediate=True),
    "count": Finding(Signal.DATA_QUALITY, "evidently.MissingValueCount", Verdict.VIOLATED, column="dep_delay"),
    "mean": Finding(Signal.DATA_QUALITY, "evidently.MeanValue", Verdict.VIOLATED, column="prediction"),
    "many": Finding(Signal.FEATURE_DRIFT, "evidently.DriftedColumnsCount.share", Verdict.DRIFT),
    "preset": Finding(Signal.FEATURE_DRIFT, "evidently.DataDriftPreset", Verdict.DRIFT),
    "of_preset": Finding(
        Signal.PREDICTION_DRIFT, "evidently.DataDriftPreset.ValueDrift", Verdict.DRIFT, column="prediction"
    ),
    "range": Finding(Signal.DATA_QUALITY, "out_of_range", Verdict.VIOLATED, column="dep_delay", immediate=True),
    "failed": Finding(Signal.DRIFTD, "evaluation", Verdict.VIOLATED),
    "driftd": Finding(Signal.DRIFTD, "config", Verdict.VIOLATED, immediate=True),
}
KINDS: dict[str, Kind] = {"drift": "drift", "quality": "quality", "silence": "silence"}
SIGNS = {
    "!": None,
    ".": Verdict.OK,
    "?": Verdict.INSUFFICIENT_DATA,
    "0": Verdict.NO_DATA,
    "c": Verdict.CALIBRATING,
    "u": Verdict.UNCALIBRATED,
    "x": Verdict.ERROR,
}

# hours of the window, kind, findings (! flagged, . quiet, x error, ? too few, c u calibrating) | states | told
TIMELINES = {
    "two disjoint windows open, overlapping ones do not count": """
        0-24  drift pred!  |              |
        6-30  drift pred!  |              |
        18-42 drift pred!  |              |
        24-48 drift pred!  | model=firing | model opened
        30-54 drift pred!  | model=firing | model updated
    """,
    "a quiet window resets a pending line": """
        0-24  drift pred!  | |
        24-48 drift pred.  | |
        48-72 drift pred!  | |
        72-96 drift pred.  | |
    """,
    "a quiet window that overlaps the counted one decides nothing": """
        0-24  drift pred!  |              |
        12-36 drift pred.  |              |
        24-48 drift pred!  | model=firing | model opened
    """,
    "two quiet disjoint windows recover": """
        0-24    drift pred! |                  |
        24-48   drift pred! | model=firing     | model opened
        30-54   drift pred. | model=firing     |
        48-72   drift pred. | model=recovering | model recovering
        54-78   drift pred. | model=recovering |
        72-96   drift pred. |                  | model resolved
        96-120  drift pred! |                  |
        120-144 drift pred! | model=firing     | model opened
    """,
    "a relapse goes on in the same thread": """
        0-24    drift pred! |                  |
        24-48   drift pred! | model=firing     | model opened
        48-72   drift pred. | model=recovering | model recovering
        72-96   drift pred! | model=firing     | model relapsed
        96-120  drift pred. | model=recovering | model recovering
        120-144 drift pred. |                  | model resolved
    """,
    "an error, too few rows and calibration neither fire nor resolve": """
        0-24    drift pred! |                  |
        24-48   drift predx |                  |
        48-72   drift pred? |                  |
        72-96   drift pred! | model=firing     | model opened
        96-120  drift predx | model=firing     |
        120-144 drift pred0 | model=firing     |
        144-168 drift predc | model=firing     |
        168-192 drift predu | model=firing     |
        192-216 drift pred. | model=recovering | model recovering
        216-240 drift predx | model=recovering |
        240-264 drift pred. |                  | model resolved
    """,
    "an explicit limit fires and ends at once": """
        0-24  quality mae_max! | model=firing | model opened
        24-48 quality mae_max. |              | model resolved
    """,
    "drift of a feature alone opens nothing, and joins as the likely cause": """
        0-24    drift dep! pred.  |              |
        24-48   drift dep! pred.  |              |
        48-72   drift dep! pred!  |              |
        72-96   drift dep! pred!  | model=firing | model opened
        96-120  drift dep! carrier! pred!  | model=firing | model updated
        120-144 drift dep! pred.  | model=recovering | model recovering
        144-168 drift dep! pred.  |              | model resolved
        168-192 drift dep! pred.  |              |
    """,
    "drift of an important feature opens": """
        0-24  drift carrier! | |
        24-48 drift carrier! | model=firing | model opened
    """,
    "a graver signal makes it worse, another segment does not": """
        0-24  drift pred! predJFK!   |              |
        24-48 drift pred! predJFK.   | model=firing | model opened
        48-72 drift pred! predJFK!   | model=firing | model updated
        0-24  quality mae!           | model=firing |
        24-48 quality mae!           | model=firing | model worse
        48-72 quality mae!           | model=firing | model updated
        72-96 drift pred. predJFK.   | model=firing | model updated
    """,
    "a silence is one incident of its own, at once": """
        100-102 silence silent! | data=firing | data opened
        100-105 silence silent! | data=firing | data updated
        106-106 silence silent. |             | data resolved
    """,
    "while predictions are missing drift is held back, and so is a window that lost rows": """
        0-24   drift pred!     |             |
        30-40  silence silent! | data=firing | data opened
        24-48  drift pred!     | data=firing |
        47-48  silence silent. |             | data resolved
        30-54  drift pred!     |             |
        46-70  drift pred!     | model=firing | model opened
    """,
    "in a window that misses rows only rules count that are broken all the same": """
        0-24   drift pred! range! missing! lost   | data=firing |  data opened
        24-48  drift pred! range. missing! lost   | data=firing |
        48-72  drift pred! range. missing!        |             | data resolved
        72-96  drift pred! range. missing!        | data=firing model=firing | data opened, model opened
    """,
    "a window that failed counts when it is judged at last": """
        0-24   drift pred!       |              |
        24-48  drift failedx     |              |
        24-48  drift failedx rev |              |
        24-48  drift pred! rev   | model=firing | model opened
        24-48  drift pred. rev   | model=firing | model amended
    """,
    "a window that failed opens nothing once a later one has spoken": """
        0-24   drift pred!       |              |
        24-48  drift failedx     |              |
        48-72  drift pred.       |              |
        24-48  drift pred! rev   |              |
        72-96  drift pred!       |              |
    """,
    "an open model incident says that it is held": """
        0-24   drift pred!     |                          |
        24-48  drift pred!     | model=firing             | model opened
        49-52  silence silent! | data=firing model=firing | data opened, model updated
        48-72  drift pred.     | data=firing model=firing |
        60-61  silence silent. | model=firing             | data resolved, model updated
        60-84  drift pred.     | model=recovering         | model recovering
        84-108 drift pred.     |                          | model resolved
    """,
    "a silence of minutes does not blind a day": """
        0-24     drift pred!     |              |
        30-31    silence silent! | data=firing  | data opened
        31-31    silence silent. |              | data resolved
        24-48    drift pred!     | model=firing | model opened
    """,
    "a standing partition holds every window back": """
        0-24  drift pred!      |             |
        30-31 silence stalled! | data=firing | data opened
        24-48 drift pred!      | data=firing |
        48-48 silence stalled. |             | data resolved
        24-48 drift pred! rev  |             |
        48-72 drift pred!      | model=firing | model opened
    """,
    "a column's own data line holds its drift back, not the others'": """
        0-24  drift missing! carrier! dep! |                          |
        24-48 drift missing! carrier! dep! | data=firing model=firing | data opened, model opened
        48-72 drift missing! carrier! dep! | data=firing model=firing | data updated, model updated
    """,
    "a version that has left ends its lines": """
        0-24    drift pred7! pred8. |                  |
        24-48   drift pred7! pred8. | model=firing     | model opened
        48-72   drift pred8.        | model=recovering | model recovering
        72-96   drift pred8.        |                  | model resolved
    """,
    "an evaluation that erred ends no line": """
        0-24   drift pred7! pred8. |              |
        24-48  drift pred7! pred8. | model=firing | model opened
        48-72  drift predx pred8.  | model=firing |
        72-96  drift predx         | model=firing |
        96-120 drift               | model=firing |
    """,
    "a revision amends the thread, opens nothing and resolves nothing": """
        0-24    drift pred!      |                  |
        24-48   drift pred!      | model=firing     | model opened
        24-48   drift pred. rev  | model=firing     | model amended
        24-48   drift pred. rev  | model=firing     |
        48-72   drift pred.      | model=recovering | model recovering
        72-96   drift pred.      |                  | model resolved
        48-72   drift pred! rev  |                  | model amended
        96-120  drift pred.      |                  |
        96-120  drift pred! rev  |                  |
        120-144 drift pred!      |                  |
    """,
    "a revision takes a pending line's only sign away": """
        0-24  drift pred!     | |
        0-24  drift pred. rev | |
        24-48 drift pred!     | |
    """,
    "the same window twice is no second step": """
        0-24  drift pred! |              |
        24-48 drift pred! | model=firing | model opened
        24-48 drift pred! | model=firing |
    """,
    "driftd's own trouble is no incident of the model": """
        0-24 drift driftd! | |
    """,
    "schema fires at once beside the model's incident": """
        0-24  drift pred!         |                          |
        24-48 drift pred! schema! | data=firing model=firing | data opened, model opened
        48-72 drift pred! schema. | model=firing             | data resolved, model updated
    """,
    "a limit of the model's own suite counts its windows and recovers like any other": """
        0-24   drift count!  |                 |
        24-48  drift count!  | data=firing     | data opened
        48-72  drift count.  | data=recovering | data recovering
        72-96  drift count.  |                 | data resolved
    """,
    "a share of drifted columns opens an incident though no feature is important": """
        0-24  drift many!  |              |
        24-48 drift many!  | model=firing | model opened
    """,
    "the suite holds nothing of driftd's own back": """
        0-24  drift mean! pred!  |                          |
        24-48 drift mean! pred!  | data=firing model=firing | data opened, model opened
    """,
    "an error of the suite keeps no other line": """
        0-24   drift pred7!           |                  |
        24-48  drift pred7!           | model=firing     | model opened
        48-72  drift missing. countx  | model=recovering | model recovering
        72-96  drift missing. countx  |                  | model resolved
    """,
    "an entry that erred keeps what it said before, one that is gone lets it end": """
        0-24    drift of_preset! missing.  |                  |
        24-48   drift of_preset! missing.  | model=firing     | model opened
        48-72   drift presetx missing.     | model=firing     |
        72-96   drift preset? missing.     | model=firing     |
        96-120  drift countx missing.      | model=recovering | model recovering
        120-144 drift missing.             |                  | model resolved
    """,
}


def findings(words: list[str]) -> list[Finding]:
    result: list[Finding] = []
    for word in words:
        verdict = SIGNS[word[-1]]
        # A shifting value, as in real life: each flagged window is news.
        value = float(len(result) + 1)
        finding = replace(MEASURED[word[:-1]], value=value)
        result.append(finding if verdict is None else replace(finding, verdict=verdict))
    return result


def told(changes: tuple[Change, ...]) -> str:
    return ", ".join(f"{change.incident.family} {change.kind}" for change in changes)


@pytest.mark.parametrize("timeline", TIMELINES.values(), ids=TIMELINES.keys())
def test_timeline(timeline: str) -> None:
    # Given a model that nothing is known of, with windows of a day
    board = Board("flight-delay")
    policy = Policy(important=frozenset({"carrier"}))
    revisions: dict[tuple[str, str], int] = {}
    for row in filter(None, (row.strip() for row in timeline.splitlines())):
        observed, states, expected = (part.strip() for part in row.split("|"))
        hours, kind, *words = observed.split()
        revision = 0
        if words and words[-1] == "rev":
            words.pop()
            revisions[hours, kind] = revision = revisions.get((hours, kind), 0) + 1
        incomplete = Held.GAP if words and words[-1] == "lost" else None
        if incomplete:
            words.pop()
        start, end = (int(hour) * HOUR for hour in hours.split("-"))
        observation = Observation(KINDS[kind], start, end, findings(words), revision, 1000, incomplete)

        # When the observation comes
        before = board
        after = step(board, observation, policy, now=end + 10 * MINUTE)
        board, changes = after.board, after.changes

        # Then people are told this, and the incidents stand so
        assert told(changes) == expected, row
        assert (
            " ".join(f"{i.family}={i.state}" for i in board.open_incidents) == states
            or sorted(f"{i.family}={i.state}" for i in board.open_incidents) == states.split()
        ), row
        # And a round trip through the store changes nothing
        assert Board.from_bytes(board.to_bytes()) == board
        # And every change is a newer revision of its incident
        known = {incident.id: incident.revision for incident in before.incidents}
        for change in changes:
            assert change.incident.revision == known.get(change.incident.id, 0) + 1
            assert not re.search(r"\d{4,}", " ".join(entry.text for entry in change.incident.timeline))
