"""What moved most, in words: the line that says why."""

from __future__ import annotations

from detectors.coordinates import Kind
from detectors.layout import CategoricalLayout, NumericLayout


def percentages(before: float, after: float) -> str:
    """Two shares in 0..1 as one phrase.

    >>> percentages(0.041, 0.38), percentages(0.0, 0.004), percentages(0.001, 0.002)
    ('4 → 38 %', '0 → 0.4 %', '0.1 → 0.2 %')
    """
    digits = 0
    while digits < 2 and (abs(after - before) * 100 < 2 * 10**-digits):
        digits += 1
    first, second = (_trimmed(f"{100 * share:.{digits}f}") for share in (before, after))
    return f"{first} → {second} %"


def number(value: float) -> str:
    """A number for people: three digits, no exponent where it can be helped.

    >>> number(7.1), number(18.444), number(1234.5), number(0.000123), number(-60.0)
    ('7.1', '18.4', '1234', '0.000123', '-60')
    """
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if 1000 <= abs(value) < 1e9:
        return f"{value:.0f}"
    return f"{value:.3g}"


def decile_phrase(column: NumericLayout, group: int, before: float, after: float) -> str:
    """The share of one decile group: of a tail where it is the lowest or the highest."""
    edges = column.decile_edges
    if group == len(edges):
        where = f"≥ {number(float(edges[-1]))}"
    elif group == 0:
        where = f"< {number(float(edges[0]))}"
    else:
        where = f"{number(float(edges[group - 1]))} to {number(float(edges[group]))}"
    return f"{column.name} {where}: {percentages(before, after)}"


def rank_mean_phrase(name: str, higher: bool, before: float, after: float, middle: tuple[float, float]) -> str:
    """A shift of the whole column: by its means where they moved the same way, else by its medians."""
    word = "higher" if higher else "lower"
    if (after > before) is higher and number(before) != number(after):
        return f"{name} {word}: mean {number(before)} → {number(after)}"
    return f"{name} {word}: median {number(middle[0])} → {number(middle[1])}"


def rank_spread_phrase(name: str, wider: bool, before: tuple[float, float], after: tuple[float, float]) -> str:
    """A change of spread, by the range of the middle half before and after."""
    halves = [f"{number(low)} to {number(high)}" for low, high in (before, after)]
    return f"{name} {'more' if wider else 'less'} spread out: middle half {halves[0]} → {halves[1]}"


def category_phrase(column: CategoricalLayout, kind: Kind, index: int, before: float, after: float) -> str:
    """The share of one category, or of all that have less than 1 %."""
    value = column.vocabulary[index] if kind is Kind.CATEGORY else "anything else"
    return f"{column.name} = {value}: {percentages(before, after)}"


def share_phrase(name: str, kind: Kind, before: float, after: float) -> str:
    """The share of missing, non-finite, mistyped or out-of-range values."""
    return f"{name} {kind.value.replace('_', ' ')}: {percentages(before, after)}"


def constant_phrase(name: str, value: str, after: float) -> str:
    """The share of values that differ from the only one that the reference had."""
    return f"{name} is not {value}: {percentages(0.0, after)}"


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
