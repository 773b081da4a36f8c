"""What a drift verdict is made from. Light to import: whoever asks for a verdict need not load what gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from detectors.instants import Micros
from detectors.rules import Rules


@dataclass(frozen=True, slots=True)
class DriftInput:
    """Everything that the drift verdict on one window depends on; it can be pickled.

    `partials` and `samples` hold, by version, the bytes of profiles and samples under the reference's layout, in any
    order and grouping; a version may have no samples. `live_windows` are the vectors that had joined the reference's
    own windows as of this one, in order of time. `seen` are the columns of which an earlier window had a value; None:
    every one, such as those of a reference that was the traffic itself.

    Quality is estimated by what `labelled` has learned, the same reference with labels, or by `reference` where it is
    None. `scored` has by version the predictions of a multiclass model with their probabilities, each pair one text.
    """

    start: Micros
    end: Micros
    reference: bytes
    live_windows: tuple[bytes, ...]
    partials: Mapping[str, tuple[bytes, ...]]
    samples: Mapping[str, tuple[bytes, ...]]
    rules: Rules
    seen: frozenset[str] | None = None
    labelled: bytes | None = None
    scored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
