"""Rows of a recommender: the items that each request was shown, in order, and those that were taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.quality.rows import FLAWED_SHARE, Flaw, Index, Logged, ReadRows

NOTHING = -1
"""The code of a place in a list that holds no item."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """How often the reference showed each item, within the first k of a list.

    `shown` counts the requests by item, `requests` all of them. `long_share` is the share of the reference's lists that
    are longer than k: what is usual there is no flaw of a window.
    """

    shown: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    long_share: float = 0.0


@dataclass(frozen=True, slots=True)
class RequestRows:
    """Requests with what was shown and what was taken, n of them.

    `shown` has the codes of the first k distinct items of each list, `NOTHING` beyond its end: int64, (n, k). `hits`
    says which of these were taken: bool, (n, k). `taken` counts the distinct items that each request took, shown or
    not: int64, (n,). `counts` says for the items of the catalogue, which have the lowest codes, how many of the
    reference's `requests` showed them: float64.
    """

    shown: NDArray[np.int64]
    hits: NDArray[np.bool_]
    taken: NDArray[np.int64]
    counts: NDArray[np.float64]
    requests: int

    def __len__(self) -> int:
        return len(self.taken)

    def take(self, index: Index) -> RequestRows:
        return RequestRows(self.shown[index], self.hits[index], self.taken[index], self.counts, self.requests)

    def scored(self) -> RequestRows | str:
        return "recommendations are judged without scores"


def request_rows(logged: Logged, k: int, catalogue: Catalogue) -> ReadRows:
    """The requests that a list was shown to; `predictions` and `labels` are lists of texts as JSON.

    Another prediction is no request; nothing taken is an empty list, or None. An item that a list holds twice counts
    once, at its first place, and such lists are a flaw; so are lists longer than k, unless the reference's are: items
    beyond are not judged.
    """
    if logged.predictions is None:
        raise ValueError("recommendation is judged by predictions, and none were given")
    codes = {item: code for code, item in enumerate(catalogue.shown)}
    counts = np.array(list(catalogue.shown.values()), dtype=np.float64)
    lists = [_items(text) for text in logged.predictions.tolist()]
    places = np.array([i for i, items in enumerate(lists) if items is not None], dtype=np.intp)
    shown = np.full((len(places), k), NOTHING, dtype=np.int64)
    hits = np.zeros((len(places), k), dtype=bool)
    taken = np.zeros(len(places), dtype=np.int64)
    labels = logged.labels.tolist()
    twice = long = 0
    for row, place in enumerate(places.tolist()):
        items = list(dict.fromkeys(lists[place] or ()))
        twice += len(items) < len(lists[place] or ())
        long += len(items) > k
        chosen = set(_items(labels[place]) or ())
        taken[row] = len(chosen)
        for rank, item in enumerate(items[:k]):
            shown[row, rank] = codes.setdefault(item, len(codes))
            hits[row, rank] = item in chosen
    flaws = (
        Flaw("duplicate_items", "prediction", twice, len(places), _detail(twice, len(places), "hold an item twice")),
        Flaw(
            "long_lists",
            "prediction",
            long,
            len(places),
            _detail(long, len(places), f"are longer than k = {k}: the items beyond are not judged"),
            limit=catalogue.long_share + FLAWED_SHARE,
        ),
    )
    return ReadRows(RequestRows(shown, hits, taken, counts, catalogue.requests), places, flaws)


def catalogue_of(lists: Sequence[str | None], k: int, limit: int = 100_000) -> Catalogue:
    """The catalogue of a reference's lists, as JSON text; beyond `limit` the least shown items are left out.

    >>> catalogue_of(['["a","b","a"]', '["b"]', None], k=2).shown
    {'a': 1, 'b': 2}
    """
    counts: dict[str, int] = {}
    requests = long = 0
    for text in lists:
        found = _items(text)
        if found is None:
            continue
        items = list(dict.fromkeys(found))
        requests += 1
        long += len(items) > k
        for item in items[:k]:
            counts[item] = counts.get(item, 0) + 1
    kept = sorted(counts, key=lambda item: (-counts[item], item))[:limit]
    return Catalogue({item: counts[item] for item in sorted(kept)}, requests, long / requests if requests else 0.0)


_decode = msgspec.json.Decoder(list[str]).decode


def _items(text: object) -> list[str] | None:
    """The items of a list as JSON text; None for what is none, such as a prediction from before the lists were read."""
    try:
        return _decode(text) if isinstance(text, str) else None
    except msgspec.DecodeError:
        return None


def _detail(count: int, lists: int, what: str) -> str | None:
    return f"{count} of {lists} lists {what}" if count else None
