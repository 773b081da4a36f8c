"""Rows of a model that has no reference yet: what is kept of each, and which come too late to be part of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.config.forms import nameable
from daemon.config.settings import Model
from daemon.config.windows import micros, pane_length
from daemon.stream.mapping import is_open, split
from daemon.stream.spec import Fields, Spec, fields_of
from detectors.collected import PREDICTION, SCORE, SCORES
from detectors.instants import Micros
from detectors.layout import Layout

NO_LAYOUT = Layout((), ())


def collecting_spec(name: str, model: Model) -> tuple[str, bytes]:
    """The spec that rows are counted by until there is a reference, as (hash, bytes)."""
    spec = Spec(name, fields_of(model), NO_LAYOUT, NO_LAYOUT.hash, "", pane_length(model.window))
    return spec.hash, spec.to_bytes()


@dataclass(frozen=True, slots=True)
class Closing:
    """When a row comes too late to be part of a reference window: once its partition has shown one that closes it.

    Concerns rows before `until`, the first pane of the spec that has a layout; None: there is none yet.
    """

    size: Micros
    pane: Micros
    delay: Micros
    until: Micros | None

    @classmethod
    def of(cls, model: Model, until: Micros | None) -> Closing:
        """The closing of a model's windows."""
        window = model.window
        return cls(micros(window.size), pane_length(window), micros(window.watermark_delay), until)

    def late(self, event_time: NDArray[np.int64], highest: Micros | None) -> NDArray[np.bool_]:
        """Which rows are too late, given the highest event time read in their partition before the first of them."""
        if len(event_time) == 0:
            return np.zeros(0, dtype=bool)
        before = np.maximum.accumulate(event_time)
        before = np.append(event_time[:1] if highest is None else [highest], before[:-1])
        if highest is not None:
            before = np.maximum(before, highest)
        end = (event_time // self.size + 1) * self.size
        closes = -(-(end + self.delay) // self.pane) * self.pane
        late = closes <= before
        return np.asarray(late if self.until is None else late & (event_time < self.until))


class Reading:
    """Takes a message's columns out of it, by the names that a reference's columns go by."""

    def __init__(self, fields: Fields) -> None:
        self._open = [() if pattern == "*" else split(pattern[:-2]) for pattern in fields.features if is_open(pattern)]
        listed = [pattern for pattern in fields.features if not is_open(pattern)]
        last = [pattern.rpartition(".")[2] for pattern in listed]
        self._listed = {
            split(pattern): part if last.count(part) == 1 else pattern
            for pattern, part in zip(listed, last, strict=True)
        }
        named = {PREDICTION: fields.prediction, SCORE: fields.score, SCORES: fields.scores}
        self._named = {split(path): name for name, path in named.items() if path is not None}
        others = (fields.id, fields.timestamp, fields.version, fields.item)
        self._taken = {split(path) for path in others if path is not None} | self._named.keys()

    def __call__(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of one message; what cannot be named in a path is left out."""
        found: dict[str, Any] = {}
        for path, name in (*self._listed.items(), *self._named.items()):
            value = _at(message, path)
            if value is not None:
                found[name] = value
        for under in self._open:
            inside = _at(message, under)
            if isinstance(inside, Mapping):
                for path, value in _leaves(inside, ()):
                    if (*under, *path) not in self._taken and value is not None:
                        found.setdefault(".".join(path), value)
        return found


def _at(message: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(message, Mapping):
            return None
        message = message.get(key)
    return message


def _leaves(inside: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in inside.items():
        if not key or "." in key or not nameable(key):
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
