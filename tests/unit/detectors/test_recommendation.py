"""Ranking quality: equal to Evidently's on the same rows, by request, honest about odd lists."""

from __future__ import annotations

import functools
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from evidently.legacy.metrics.recsys.hit_rate_k import HitRateKMetric
from evidently.legacy.metrics.recsys.mrr import MRRKMetric
from evidently.legacy.metrics.recsys.ndcg_k import NDCGKMetric
from evidently.legacy.metrics.recsys.novelty import NoveltyMetric
from evidently.legacy.metrics.recsys.popularity_bias import PopularityBias
from evidently.legacy.metrics.recsys.precision_recall_k import PrecisionRecallCalculation

from detectors.columns import LIST_LENGTH, Role
from detectors.evaluation import EvaluationResult, QualityInput, evaluate_quality
from detectors.findings import Finding, Signal, Verdict
from detectors.predicted import drawn_item
from detectors.quality import METRICS, Logged, measure
from detectors.quality.requests import Catalogue, RequestRows, catalogue_of, request_rows
from detectors.quality.rows import RECOMMENDATION
from detectors.reference import Reference
from detectors.rules import QualityLimit, Rules
from tests.unit.detectors.windows import DAY, START, day_times, made_reference

DAYS, ROWS = 20, 300


def requests(rows: int, seed: int, *, items: int = 60, length: int = 12, skill: float = 1.0) -> pd.DataFrame:
    """Requests that were shown lists of popular items, and took some of the first of them."""
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, items + 1)
    shown, taken = [], []
    for _ in range(rows):
        chosen = random.choice(items, length, replace=False, p=share / share.sum())
        wanted = random.random(length) < skill * 0.3 / np.arange(1, length + 1) ** 0.5
        shown.append([f"i{item}" for item in chosen])
        taken.append([f"i{item}" for item in chosen[wanted]])
    return pd.DataFrame({"shown": shown, "taken": taken, "country": random.choice(["KR", "US"], rows)})


def logged(frame: pd.DataFrame) -> Logged:
    lists = [frame[name].map(json.dumps).to_numpy(dtype=object) for name in ("taken", "shown")]
    return Logged(*lists)


def read(frame: pd.DataFrame, k: int = 10, catalogue: Catalogue | None = None) -> RequestRows:
    rows = request_rows(logged(frame), k, catalogue or Catalogue()).rows
    assert isinstance(rows, RequestRows)
    return rows


def exploded(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an item shown, as Evidently takes them."""
    rows = [
        (user, item, rank, int(item in taken))
        for user, (shown, taken) in enumerate(zip(frame["shown"], frame["taken"], strict=True))
        for rank, item in enumerate(shown, 1)
    ]
    return pd.DataFrame(rows, columns=["users", "items", "preds", "target"])


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("length", [10, 12, 25])
@pytest.mark.parametrize("skill", [0.1, 1.0])
def test_it_equals_evidently(k: int, length: int, skill: float) -> None:
    # Given the same rows, requests that took nothing among them
    frame, before = requests(400, 1, length=length, skill=skill), requests(900, 2, items=40, length=length)
    catalogue = catalogue_of(before["shown"].map(json.dumps).tolist(), length)
    values = {n: m.value for n, m in measure(RECOMMENDATION, read(frame, k, catalogue)).items()}
    # When Evidently measures them, every request counted
    rows, train = exploded(frame), exploded(before).groupby("items")["users"].nunique()
    pr = PrecisionRecallCalculation(max(k, 10)).get_precision_and_recall_dict(rows, max(k, 10))
    bias, names = PopularityBias(k), ("preds", "users", "items")
    _, novelty = NoveltyMetric(k).get_miuf(rows, k, None, "users", "items", "preds", train / len(before))
    # Then
    assert values == pytest.approx(
        {
            "precision": pr["precision_include_no_feedback"][k - 1],
            "recall": pr["recall_include_no_feedback"][k - 1],
            "map": pr["map_include_no_feedback"][k - 1],
            "mrr": MRRKMetric(k).get_values(rows, 10)[k],
            "ndcg": NDCGKMetric(k).calculate_ndcg(rows, k)[k],
            "hit_rate": HitRateKMetric(k).get_values(rows, 10)[k - 1],
            "coverage": bias.get_coverage(k, rows, train, "preds", "items"),
            "popularity": bias.get_apr(k, rows, train, True, *names)[0],
            "gini": bias.get_gini(k, rows, "preds", "items"),
            "novelty": novelty,
        },
        abs=1e-9,
    )


def test_short_lists_equal_evidently_in_all_but_map() -> None:
    # Given lists of three items, judged at ten
    frame = requests(200, 3, length=3)
    values = {name: measured.value for name, measured in measure(RECOMMENDATION, read(frame)).items()}
    rows = exploded(frame)
    pr = PrecisionRecallCalculation(10).get_precision_and_recall_dict(rows, 10)
    # Then, at the list's own length
    assert values["precision"] == pytest.approx(pr["precision_include_no_feedback"][-1], abs=1e-9)
    assert values["map"] == pytest.approx(pr["map_include_no_feedback"][-1], abs=1e-9)
    assert values["ndcg"] == pytest.approx(NDCGKMetric(10).calculate_ndcg(rows, 10).iloc[-1], abs=1e-9)
    # but beside longer ones it lets a short list's last item count again at each further place
    mixed = pd.concat([frame, requests(200, 4, length=10)], ignore_index=True)
    pr = PrecisionRecallCalculation(10).get_precision_and_recall_dict(exploded(mixed), 10)
    measured = METRICS["recommendation.map"].measure(read(mixed)).value
    assert measured < pr["map_include_no_feedback"][-1]
    halves = [METRICS["recommendation.map"].measure(read(part)).value for part in (frame, mixed.iloc[200:])]
    assert measured == pytest.approx(np.mean(halves), abs=1e-12)


@pytest.mark.parametrize("name", [m.name for m in METRICS if m.task == RECOMMENDATION])
def test_the_error_is_that_of_resampled_requests(name: str) -> None:
    # Given requests that are resampled
    metric = METRICS[f"recommendation.{name}"]
    frame = requests(800, 4, items=400)
    catalogue = catalogue_of(frame["shown"].map(json.dumps).tolist(), 10)
    rows = read(frame, 10, catalogue)
    random = np.random.default_rng(0)
    drawn = [metric.measure(rows.take(random.integers(0, len(rows), len(rows)))).value for _ in range(400)]
    # Then their spread is the error
    assert metric.measure(rows).error == pytest.approx(np.std(drawn), rel=0.35 if name == "coverage" else 0.15)


def test_items_taken_that_were_not_shown_lower_the_recall_alone() -> None:
    frame = pd.DataFrame({"shown": [["a", "b"]], "taken": [["a", "z"]]})
    values = {name: measured.value for name, measured in measure(RECOMMENDATION, read(frame)).items()}
    assert (values["recall"], values["precision"], values["hit_rate"], values["mrr"]) == (0.5, 0.5, 1.0, 1.0)


def test_an_empty_list_is_a_request_that_nothing_was_good_for() -> None:
    frame = pd.DataFrame({"shown": [[], ["a"]], "taken": [["a"], ["a"]]})
    rows = read(frame)
    assert METRICS["recommendation.hit_rate"].measure(rows).value == 0.5
    assert METRICS["recommendation.precision"].measure(rows).value == 0.5


def test_odd_lists_are_counted_and_the_rest_goes_on() -> None:
    # Given a list with an item twice, one longer than k, one that is no list, among a hundred
    frame = requests(100, 5, length=10)
    frame.at[0, "shown"] = ["a", "a", "b"]
    frame.at[0, "taken"] = ["b"]
    frame.at[1, "shown"] = [f"i{i}" for i in range(11)]
    texts = logged(frame)
    assert texts.predictions is not None
    texts.predictions[2] = None  # type: ignore[call-overload]
    found = request_rows(texts, 10, Catalogue())
    # Then
    twice, long = found.flaws
    assert (twice.metric, twice.rows, twice.of) == ("duplicate_items", 1, 99)
    assert twice.detail == "1 of 99 lists hold an item twice"
    assert (long.metric, long.rows) == ("long_lists", 1)
    assert long.detail == "1 of 99 lists are longer than k = 10: the items beyond are not judged"
    assert len(found.rows) == 99
    # and the item that stands twice counts once
    assert METRICS["recommendation.mrr"].measure(found.rows.take(np.array([0]))).value == 0.5


def test_what_is_no_list_is_no_request() -> None:
    given = Logged(np.array(["[]", "[]", "[]"], object), np.array(["cat", None, '["a"]'], object))
    assert request_rows(given, 10, Catalogue()).places.tolist() == [2]


def test_the_drawn_item_is_a_fair_one() -> None:
    drawn = [
        drawn_item(["a", "b", "c", "d"], int(number)) for number in np.random.default_rng(0).integers(0, 2**63, 4_000)
    ]
    assert pd.Series(drawn).value_counts().min() > 900


# The whole evaluation


@functools.cache
def reference() -> Reference:
    frame = requests(DAYS * ROWS, 9)
    made = pd.DataFrame(
        {
            "prediction": [shown[i % len(shown)] for i, shown in enumerate(frame["shown"])],
            LIST_LENGTH: frame["shown"].map(len).astype(float),
            "country": frame["country"],
            "taken": frame["taken"].map(json.dumps),
            "_items": frame["shown"].map(json.dumps),
        }
    )
    return made_reference(
        made,
        event_time=day_times(len(made), DAYS),
        roles={"prediction": Role.PREDICTION, LIST_LENGTH: Role.PREDICTION},
        label="taken",
        items="_items",
        segment_by=[("country",)],
        task=RECOMMENDATION,
    )


def judged(frame: pd.DataFrame, versions: list[str] | None = None, **rules: object) -> EvaluationResult:
    given = logged(frame)
    table = pa.table(
        {
            "version": pa.array(versions or ["1"] * len(frame)),
            "prediction": pa.array(given.predictions, pa.string()),
            "label": pa.array(given.labels, pa.string()),
            "seg": pa.array([json.dumps({"country": country}) for country in frame["country"]]),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return evaluate_quality(
        QualityInput(
            START,
            START + DAY,
            reference().to_bytes(),
            Rules(task=RECOMMENDATION, **rules),  # type: ignore[arg-type]
            sink.getvalue().to_pybytes(),
            len(frame),
            len(frame),
        )
    )


def finding(result: EvaluationResult, metric: str, **fields: object) -> Finding:
    wanted = {"version": None, "segment": None} | fields
    (one,) = [f for f in result.findings if f.metric == metric and all(getattr(f, k) == v for k, v in wanted.items())]
    return one


def test_an_ordinary_window_has_every_metric_beside_its_usual_value() -> None:
    result = judged(requests(ROWS, 1))
    whole = [found for found in result.findings if found.segment is None]
    assert {found.metric for found in whole} == {
        *(m.name for m in METRICS if m.task == RECOMMENDATION), "duplicate_items", "long_lists",
    }  # fmt: skip
    # The reference's lists are longer than k as well, so that is no finding.
    assert finding(result, "long_lists").value == 1.0
    assert {found.verdict for found in whole} == {Verdict.OK}
    assert finding(result, "ndcg").usual == pytest.approx(reference().quality["ndcg"].value)
    assert finding(result, "ndcg").noise_floor is not None


def test_a_worse_recommender_is_degraded_by_version_and_segment() -> None:
    # Given a new version that people take half as much from
    frame = pd.concat([requests(600, 1), requests(600, 2, skill=0.5)], ignore_index=True)
    # When
    result = judged(
        frame, ["6"] * 600 + ["7"] * 600, quality={"hit_rate": QualityLimit(minimum=0.62)}, segment_min_rows=500
    )
    # Then
    assert finding(result, "hit_rate", version="6").verdict is Verdict.OK
    assert finding(result, "hit_rate", version="7").verdict is Verdict.DEGRADED
    assert finding(result, "ndcg", version="7").verdict is Verdict.DEGRADED
    assert finding(result, "hit_rate", segment={"country": "KR"}).value is not None


def test_a_recommender_that_shows_the_same_to_all_is_found_without_any_label() -> None:
    frame = requests(ROWS, 1)
    frame["shown"] = [[f"i{i}" for i in range(12)]] * ROWS
    limits = {name: QualityLimit(worse_than_reference=0.2) for name in ("coverage", "popularity", "novelty")}
    result = judged(frame, quality=limits)
    assert {finding(result, name).verdict for name in limits} == {Verdict.DEGRADED}


def test_lists_with_items_twice_are_violated_at_once() -> None:
    frame = requests(ROWS, 1)
    frame["shown"] = [[*shown[:9], shown[0]] if i % 20 == 0 else shown for i, shown in enumerate(frame["shown"])]
    found = finding(judged(frame), "duplicate_items")
    assert (found.signal, found.column, found.verdict) == (Signal.DATA_QUALITY, "prediction", Verdict.VIOLATED)


def test_a_reference_keeps_its_catalogue_and_is_another_with_another_k() -> None:
    again = Reference.from_bytes(reference().to_bytes())
    assert again.catalogue == reference().catalogue
    assert again.catalogue.requests == DAYS * ROWS
    assert again.catalogue.long_share == 1.0
