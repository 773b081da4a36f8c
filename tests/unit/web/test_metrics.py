"""What /metrics says of a store, and that docs/metrics.md says the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from daemon.schedule.workers import WorkerPool
from daemon.store import outbox
from daemon.store.outbox import Outgoing
from daemon.web.metrics import METRICS, EvaluationTiming, Live, registry
from detectors.instants import DAY, SECOND
from tests.unit.schedule.world import MODEL, ROWS_A_DAY, START, World, orders, world

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two days with labels, judged; one message waits to be delivered."""
    with WorkerPool(1) as pool, world(tmp_path_factory.mktemp("world"), pool) as made:
        frame = orders(0, 2, seed=5)
        made.predict(frame)
        made.label(frame, until=START + 3 * DAY)
        made.evaluator.turn(flush=True)
        with made.store.write() as conn:
            outbox.put(conn, Outgoing("slack:#orders", "inc-1", "opened", "inc-1", 1, "key"), START - 90 * SECOND)
        made.read_on("predictions", 0, 0, waiting=7)
        yield made


def scrape(made: World, live: Live | None = None) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    live = live or Live(clock=lambda: made.wall)
    text = generate_latest(registry(made.settings, made.store, live, "1.2.3")).decode()
    return {
        (sample.name, frozenset((key, value) for key, value in sample.labels.items() if key != "installation")): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels["installation"] == "test"
    }


def of(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset({"model": MODEL, **labels}.items())


def test_every_metric_has_a_sample_of_its_name(made: World) -> None:
    live = Live(clock=lambda: made.wall, deliveries=lambda: {("slack", "delivered"): 3})
    assert {name for name, _ in scrape(made, live)} == set(METRICS)


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("driftd_info", frozenset({("version", "1.2.3")}), 1),
        ("driftd_configuration_valid", frozenset(), 1),
        ("driftd_labels", of(fate="joined"), 2 * ROWS_A_DAY - ROWS_A_DAY // 2),
        ("driftd_lag_messages", of(), 7),
        ("driftd_label_join_ratio", of(), 1),
        ("driftd_open_incidents", of(), 0),
        ("driftd_outbox_oldest_age_seconds", frozenset(), 90),
        ("driftd_evaluations_overdue", of(), 0),
    ],
)
def test_a_sample_is_what_the_store_says(
    made: World, name: str, labels: frozenset[tuple[str, str]], value: float
) -> None:
    assert scrape(made)[name, labels] == value


def test_the_watermark_is_never_ahead_of_a_clock_that_labels_hold_back(tmp_path: Path) -> None:
    # Given replayed predictions of two days, and labels of the first
    with WorkerPool(1) as pool, world(tmp_path, pool) as made:
        frame = orders(0, 2, seed=5)
        made.predict(frame)
        made.label(frame[:ROWS_A_DAY], until=START + DAY)
        # Then
        assert scrape(made)["driftd_watermark_delay_seconds", of()] == 0


def test_quality_and_drift_are_those_of_the_last_window(made: World) -> None:
    found = scrape(made)
    assert 1.2 < found["driftd_quality", of(metric="mae")] < 2.0
    assert 0 <= found["driftd_prediction_drift_ratio", of()] < 1


def test_what_only_the_process_knows_comes_from_it(made: World) -> None:
    live = Live(
        clock=lambda: made.wall,
        configuration_valid=lambda: False,
        timings=lambda: {MODEL: EvaluationTiming(5, 2, 1.5, 3)},
        worker_deaths=lambda: 4,
    )
    found = scrape(made, live)
    assert found["driftd_configuration_valid", frozenset()] == 0
    assert found["driftd_evaluations_total", of(result="done")] == 3
    assert found["driftd_evaluations_total", of(result="error")] == 2
    assert found["driftd_evaluation_seconds_total", of()] == 1.5
    assert found["driftd_worker_deaths_total", frozenset()] == 4


def test_the_page_lists_every_metric_with_its_kind_and_labels() -> None:
    rows = re.findall(r"^\| `(driftd_\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", PAGE, flags=re.MULTILINE)
    written = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text.strip()) for name, kind, labels, text in rows}
    assert written == {name: (one.kind, one.labels, one.help) for name, one in METRICS.items()}


def test_names_carry_the_prefix_and_base_units() -> None:
    for name, described in METRICS.items():
        assert name.startswith("driftd_")
        assert name.endswith("_total") == (described.kind == "counter")
        assert not re.search(r"_(ms|minutes|hours|kb|mb|percent)(_|$)", name)
