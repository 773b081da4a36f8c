"""Which messages of a batch can be whose, where several models share a topic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from daemon.stream.flows import Flow
from daemon.stream.formats.json.peek import texts_at

FEW = 3
"""So many flows look for their own messages themselves: that is as cheap."""


class Sharing:
    """The records of one batch, sorted by the texts that `where` asks for; each path is read once for all flows."""

    def __init__(self, records: Sequence[Any], flows: Iterable[Flow]) -> None:
        self._records = records
        self._sorts = sum(flow.address is not None for flow in flows) > FEW
        self._by_path: dict[Any, tuple[dict[str, list[int]], list[int]]] = {}

    def places(self, flow: Flow, start: int) -> list[int]:
        """The places from `start` on of the records that can be the flow's, in order."""
        if flow.address is None or not self._sorts:
            candidates: Iterable[int] = range(start, len(self._records))
        else:
            path, text = flow.address
            named, unsure = self._sorted(path)
            candidates = sorted(place for place in (*named.get(text, ()), *unsure) if place >= start)
        return [place for place in candidates if flow.is_mine(self._records[place])]

    def _sorted(self, path: Any) -> tuple[dict[str, list[int]], list[int]]:
        found = self._by_path.get(path)
        if found is None:
            named: defaultdict[str, list[int]] = defaultdict(list)
            unsure: list[int] = []
            for place, text in enumerate(texts_at(path, [record.value for record in self._records])):
                if text is None:
                    unsure.append(place)
                else:
                    named[text].append(place)
            found = self._by_path[path] = (named, unsure)
        return found
