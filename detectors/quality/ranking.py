"""How good recommended lists were at k: what was taken of what was shown, and how varied it was.

Values are Evidently's with `no_feedback_users=True`: every request counts, also one that took nothing, for fewer taken
items are what a worse recommender leads to. They differ in one thing: Evidently lets the last item of a list that is
shorter than k count again at each place up to k in MAP, which then can exceed 1.

Each value is a mean over requests, or a smooth function of what each adds, so that its error by resampling requests is
known without drawing: the infinitesimal jackknife (Efron 1981), for coverage the jackknife itself.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from detectors.quality.metric import Measured, Worse, quality_metric
from detectors.quality.requests import NOTHING, RequestRows
from detectors.quality.rows import RECOMMENDATION

SHARE = (0.0, 1.0)


@quality_metric("precision", task=RECOMMENDATION, worse=Worse.LOWER)
def precision(rows: RequestRows) -> Measured:
    """Mean share of the shown items that were taken; of a list shorter than k, of its own items."""
    return _mean(_ratio(rows.hits.sum(axis=1), _lengths(rows)), rows)


@quality_metric("recall", task=RECOMMENDATION, worse=Worse.LOWER)
def recall(rows: RequestRows) -> Measured:
    """Mean share of the taken items that were shown; 0 where nothing was taken."""
    return _mean(_ratio(rows.hits.sum(axis=1), rows.taken), rows)


@quality_metric("map", task=RECOMMENDATION, worse=Worse.LOWER)
def mean_average_precision(rows: RequestRows) -> Measured:
    """Mean over requests of the precision at each taken item's place, summed, over the items taken."""
    places = np.arange(1, rows.hits.shape[1] + 1)
    gains = np.cumsum(rows.hits, axis=1) / places * rows.hits
    return _mean(_ratio(gains.sum(axis=1), rows.taken), rows)


@quality_metric("mrr", task=RECOMMENDATION, worse=Worse.LOWER)
def mean_reciprocal_rank(rows: RequestRows) -> Measured:
    """Mean of 1 / the place of the first taken item; 0 where none of the shown items was taken."""
    first = np.argmax(rows.hits, axis=1) + 1
    return _mean(np.where(rows.hits.any(axis=1), 1 / first, 0.0), rows)


@quality_metric("ndcg", task=RECOMMENDATION, worse=Worse.LOWER)
def normalized_discounted_cumulative_gain(rows: RequestRows) -> Measured:
    """Mean of the gain of taken items, discounted by log2(place + 1), over the best that the taken items allow."""
    discount = 1 / np.log2(np.arange(rows.hits.shape[1]) + 2)
    best = np.concatenate(([0.0], np.cumsum(discount)))[np.minimum(rows.taken, len(discount))]
    return _mean(_ratio((rows.hits * discount).sum(axis=1), best), rows)


@quality_metric("hit_rate", task=RECOMMENDATION, worse=Worse.LOWER)
def hit_rate(rows: RequestRows) -> Measured:
    """The share of requests of which at least one shown item was taken."""
    hit = int(np.count_nonzero(rows.hits.any(axis=1)))
    return Measured.share(hit, len(rows))


@quality_metric("coverage", task=RECOMMENDATION, worse=Worse.LOWER)
def catalogue_coverage(rows: RequestRows) -> Measured:
    """The share of the reference's items that were shown to anyone."""
    size = len(rows.counts)
    if not size:
        return Measured.undefined("the reference shows no items", len(rows))
    known = (rows.shown != NOTHING) & (rows.shown < size)
    requests = np.bincount(rows.shown[known], minlength=size)
    # Leaving a request out loses the items that no other one showed.
    alone = ((requests == 1)[np.where(known, rows.shown, 0)] & known).sum(axis=1) / size
    n = len(rows)
    error = math.sqrt((n - 1) * float(np.var(alone)))
    return Measured.normal(np.count_nonzero(requests) / size, error, n, SHARE)


@quality_metric("popularity", task=RECOMMENDATION, worse=Worse.HIGHER)
def average_recommendation_popularity(rows: RequestRows) -> Measured:
    """Mean over requests of their items' mean popularity: requests of the reference, over the commonest item's."""
    counts = rows.counts
    return _of_known(rows, counts / counts.max() if len(counts) else counts, SHARE)


@quality_metric("novelty", task=RECOMMENDATION, worse=Worse.LOWER)
def novelty(rows: RequestRows) -> Measured:
    """Mean over requests of their items' mean -log2(share of the reference's requests that were shown the item)."""
    return _of_known(rows, -np.log2(rows.counts / max(1, rows.requests)), (0.0, math.inf))


@quality_metric("gini", task=RECOMMENDATION, worse=Worse.HIGHER)
def gini_of_exposure(rows: RequestRows) -> Measured:
    """How unevenly the shown items share the places: 0 all alike, towards 1 few items have nearly all."""
    there = rows.shown != NOTHING
    items, place, counts = np.unique(rows.shown[there], return_inverse=True, return_counts=True)
    size, total = len(items), len(place)
    if size < 2:
        return Measured.undefined("fewer than two items were shown", len(rows))
    rank = np.empty(size)
    rank[np.argsort(counts, kind="stable")] = np.arange(1, size + 1)
    weight = (2 * rank - size - 1) / ((size - 1) * total)
    value = float(np.sum(weight * counts))
    slope = np.zeros(rows.shown.shape)
    slope[there] = (weight - value / total)[place]
    influence = slope.sum(axis=1)
    error = math.sqrt(len(rows) * float(np.var(influence)))
    return Measured.normal(value, error, len(rows), SHARE)


def _lengths(rows: RequestRows) -> NDArray[np.int64]:
    """How many items each request was shown, k at most."""
    return np.asarray((rows.shown != NOTHING).sum(axis=1))


def _ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> NDArray[np.float64]:
    """part / whole, 0 where there is no whole."""
    above, below = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _mean(values: NDArray[np.float64], rows: RequestRows) -> Measured:
    taking = int(np.count_nonzero(rows.taken))
    return Measured.mean(values, SHARE, f"at k = {rows.hits.shape[1]}, {taking} of {len(rows)} requests took an item")


def _of_known(rows: RequestRows, worth: NDArray[np.float64], bounds: tuple[float, float]) -> Measured:
    """The mean over requests of the mean worth of their items that the catalogue has; others are left out."""
    known = (rows.shown != NOTHING) & (rows.shown < len(worth))
    some = known.any(axis=1)
    if not some.any():
        return Measured.undefined("no item that the reference has was shown", len(rows))
    sums = np.where(known, worth[np.where(known, rows.shown, 0)], 0.0).sum(axis=1)
    return Measured.mean(sums[some] / known.sum(axis=1)[some], bounds)
