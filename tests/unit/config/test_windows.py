from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from daemon.config.settings import Window
from daemon.config.windows import (
    LONGEST_PANE,
    allowed_lateness,
    last_window_end,
    micros,
    pane_length,
    pane_start,
    window_ends,
)

SECOND = 1_000_000


@st.composite
def windows(draw: st.DrawFn) -> Window:
    every = draw(st.integers(1, 40 * 86_400))
    return Window(size=timedelta(seconds=every * draw(st.integers(1, 12))), every=timedelta(seconds=every))


instants = st.integers(-(10**15), 4 * 10**15)


@given(windows())
def test_a_pane_is_the_largest_divisor_of_at_most_an_hour(window: Window) -> None:
    pane, size, every = pane_length(window), micros(window.size), micros(window.every)
    assert 0 < pane <= LONGEST_PANE
    assert size % pane == every % pane == 0
    assert every <= LONGEST_PANE or pane * 2 > SECOND
    if every % LONGEST_PANE == 0:
        assert pane == LONGEST_PANE


@given(windows(), instants)
def test_a_pane_is_whole_in_every_window_that_touches_it(window: Window, instant: int) -> None:
    start = pane_start(window, instant)
    ends = window_ends(window, instant, instant + micros(window.size))
    assert start <= instant < start + pane_length(window)
    assert ends == window_ends(window, start, start + micros(window.size))
    assert len(ends) == micros(window.size) // micros(window.every)
    for end in ends:
        assert end - micros(window.size) <= start
        assert start + pane_length(window) <= end
    assert ends[-1] == last_window_end(window, instant)


@given(windows(), instants, st.integers(0, 10**13))
def test_window_ends_are_counted_from_the_epoch(window: Window, after: int, length: int) -> None:
    ends = window_ends(window, after, after + length)
    every = micros(window.every)
    assert all(after < end <= after + length and end % every == 0 for end in ends[:100])
    assert len(ends) == (after + length) // every - after // every


def test_lateness_is_one_size_unless_it_is_configured() -> None:
    assert allowed_lateness(Window(size=timedelta(hours=6))) == 6 * 3600 * SECOND
    assert allowed_lateness(Window(allowed_lateness=timedelta(0))) == 0
