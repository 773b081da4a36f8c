"""Laws of `for` and `recover_after`, over any sequence of verdicts on sliding windows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.incidents.board import Board, Observation, Policy, step
from daemon.incidents.lines import Line, Phase, Reading, advance, reading
from detectors.findings import Finding, Signal, Verdict
from detectors.instants import HOUR

SIZE, EVERY = 24 * HOUR, 6 * HOUR
VERDICTS = st.lists(st.sampled_from(list(Verdict)), max_size=60)
COUNTS = st.integers(1, 4)


def finding(verdict: Verdict) -> Finding:
    return Finding(Signal.PREDICTION_DRIFT, "psi", verdict, column="prediction")


def phases(verdicts: list[tuple[int, Verdict]], for_windows: int, recover_after: int) -> list[Phase]:
    """The line's phase after each window; the number is the window's place in the sequence."""
    line: Line | None = None
    found = []
    for place, verdict in verdicts:
        end = SIZE + place * EVERY
        line = advance(
            line, finding(verdict), "drift", end - SIZE, end, for_windows=for_windows, recover_after=recover_after
        )
        if line is not None and line.phase is Phase.QUIET:
            line = None
        found.append(Phase.QUIET if line is None else line.phase)
    return found


@given(VERDICTS, COUNTS, COUNTS)
def test_undecided_windows_change_nothing(verdicts: list[Verdict], for_windows: int, recover_after: int) -> None:
    numbered = list(enumerate(verdicts))
    decided = [(place, verdict) for place, verdict in numbered if reading(verdict) is not Reading.UNDECIDED]
    all_phases = phases(numbered, for_windows, recover_after)
    assert [all_phases[place] for place, _ in decided] == phases(decided, for_windows, recover_after)


@given(VERDICTS, COUNTS, COUNTS)
def test_firing_takes_as_many_disjoint_flagged_windows_as_asked_for(
    verdicts: list[Verdict], for_windows: int, recover_after: int
) -> None:
    numbered = list(enumerate(verdicts))
    overlap = SIZE // EVERY
    quiet_since = 0
    for place, phase in enumerate(phases(numbered, for_windows, recover_after)):
        if phase is Phase.QUIET:
            quiet_since = place + 1
        elif phase is Phase.FIRING:
            flagged = [p for p, v in numbered[quiet_since : place + 1] if reading(v) is Reading.FLAGGED]
            # The most disjoint windows among the flagged ones: greedily, the earliest first.
            disjoint, last = 0, -overlap
            for p in flagged:
                if p >= last + overlap:
                    disjoint, last = disjoint + 1, p
            assert disjoint >= for_windows


@given(VERDICTS, COUNTS, COUNTS)
def test_ending_takes_as_many_disjoint_quiet_windows_as_asked_for(
    verdicts: list[Verdict], for_windows: int, recover_after: int
) -> None:
    found = phases(list(enumerate(verdicts)), for_windows, recover_after)
    overlap = SIZE // EVERY
    fired = None
    for place, phase in enumerate(found):
        if phase is Phase.FIRING and (place == 0 or found[place - 1] is not Phase.FIRING):
            fired = place
        if phase is Phase.QUIET and fired is not None:
            disjoint, last = 0, fired
            for p in range(fired, place + 1):
                if verdicts[p] is Verdict.OK and p >= last + overlap:
                    disjoint, last = disjoint + 1, p
            assert disjoint >= recover_after
            assert verdicts[place] is Verdict.OK
            fired = None


@given(VERDICTS)
def test_a_board_kept_as_bytes_goes_on_as_the_one_in_memory(verdicts: list[Verdict]) -> None:
    kept = board = Board("m")
    for place, verdict in enumerate(verdicts):
        end = SIZE + place * EVERY
        observation = Observation("drift", end - SIZE, end, [finding(verdict)], rows=10)
        taken = step(board, observation, Policy(), end)
        again = step(Board.from_bytes(kept.to_bytes()), observation, Policy(), end)
        assert again == taken
        board, kept = taken.board, again.board
    ids = [incident.id for incident in board.incidents]
    assert len(ids) == len(set(ids))
