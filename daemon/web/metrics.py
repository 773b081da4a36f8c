"""What /metrics says: one table of names, and a collector that reads the store at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon.config.settings import Model, Settings
from daemon.store import Connection, Store, books, evaluations, incidents, maintenance, outbox, watermarks
from detectors.findings import Signal
from detectors.instants import SECOND, Micros, micros


@dataclass(frozen=True, slots=True)
class Described:
    """One metric: its kind ("counter" or "gauge"), what it means, and its labels besides `installation`."""

    kind: str
    help: str
    labels: tuple[str, ...] = ()


METRICS: Mapping[str, Described] = {
    "driftd_info": Described("gauge", "Always 1; the version that runs.", ("version",)),
    "driftd_configuration_valid": Described("gauge", "1 when the configuration has no mistake, else 0."),
    "driftd_intake_paused": Described("gauge", "1 while the store cannot be used, so that nothing is read; else 0."),
    "driftd_store_bytes": Described("gauge", "Size of the store on disk, write-ahead log included."),
    "driftd_messages_total": Described(
        "counter", "Kafka messages read, by what became of them: decoded, dead_lettered, ignored.", ("model", "fate")
    ),
    "driftd_predictions_total": Described(
        "counter", "Prediction rows decoded, by fate: profiled, late_dropped, expired_unpaired.", ("model", "fate")
    ),
    "driftd_labels": Described(
        "gauge", "Labels by where they are: waiting, joined, superseded, thinned, expired.", ("model", "fate")
    ),
    "driftd_limits_cut_total": Described(
        "counter", "What a limit cut off: dead_letters, thinned predictions and labels.", ("model", "limit")
    ),
    "driftd_lag_messages": Described("gauge", "Messages that wait to be read.", ("model",)),
    "driftd_watermark_delay_seconds": Described(
        "gauge", "How far the watermark lies behind the clock that decisions go by.", ("model",)
    ),
    "driftd_last_row_age_seconds": Described("gauge", "Time since the last prediction arrived in Kafka.", ("model",)),
    "driftd_last_label_age_seconds": Described("gauge", "Time since the last label arrived in Kafka.", ("model",)),
    "driftd_label_join_ratio": Described(
        "gauge", "Labelled share of the predictions in the last window whose quality was judged.", ("model",)
    ),
    "driftd_evaluations_total": Described("counter", "Evaluations since the start, by result.", ("model", "result")),
    "driftd_evaluation_seconds_total": Described("counter", "Time that evaluations took since the start.", ("model",)),
    "driftd_evaluations_overdue": Described("gauge", "Windows that are due and not evaluated yet.", ("model",)),
    "driftd_prediction_drift_ratio": Described(
        "gauge", "Prediction drift of the last window, divided by its limit: above 1 is large.", ("model",)
    ),
    "driftd_quality": Described("gauge", "Quality of the last window whose labels were mature.", ("model", "metric")),
    "driftd_open_incidents": Described("gauge", "Incidents that are not resolved.", ("model",)),
    "driftd_outbox_oldest_age_seconds": Described("gauge", "How long the oldest undelivered message has waited."),
    "driftd_deliveries_total": Described(
        "counter", "Attempts to deliver since the start, by type of receiver and result.", ("receiver", "result")
    ),
    "driftd_worker_deaths_total": Described("counter", "Worker processes that ended during a task since the start."),
    "driftd_tick_failures_total": Described("counter", "Turns of the schedule that failed since the start."),
}
"""Every metric by name; all of them carry `installation` too."""


@dataclass(frozen=True, slots=True)
class EvaluationTiming:
    """What the schedule has done for a model since the start."""

    count: int = 0
    errors: int = 0
    seconds: float = 0.0
    overdue: int = 0


@dataclass(frozen=True, slots=True)
class Live:
    """What only the running process knows."""

    clock: Callable[[], Micros]
    configuration_valid: Callable[[], bool] = lambda: True
    intake_paused: Callable[[], bool] = lambda: False
    timings: Callable[[], Mapping[str, EvaluationTiming]] = dict
    deliveries: Callable[[], Mapping[tuple[str, str], int]] = dict
    worker_deaths: Callable[[], int] = lambda: 0
    tick_failures: Callable[[], int] = lambda: 0


Sample = tuple[str, tuple[str, ...], float]
"""A metric's name, its label values and the value."""


@dataclass(eq=False, slots=True)
class StoreCollector(Collector):
    """Reads the store in one snapshot a scrape."""

    settings: Settings
    store: Store
    live: Live
    version: str
    _judged: dict[tuple[str, str], tuple[object, list[Sample]]] = field(default_factory=dict)

    def describe(self) -> Iterable[Metric]:
        """Nothing: else registering would already read the store."""
        return []

    def collect(self) -> Iterator[Metric]:
        families = {name: self._family(name, described) for name, described in METRICS.items()}
        for name, labels, value in self._samples():
            families[name].add_metric([self.settings.installation, *labels], value)
        yield from families.values()

    def _family(self, name: str, described: Described) -> CounterMetricFamily | GaugeMetricFamily:
        labels = ["installation", *described.labels]
        if described.kind == "counter":
            return CounterMetricFamily(name, described.help, labels=labels)
        return GaugeMetricFamily(name, described.help, labels=labels)

    def _samples(self) -> Iterator[Sample]:
        live, now = self.live, self.live.clock()
        yield "driftd_info", (self.version,), 1
        yield "driftd_configuration_valid", (), float(live.configuration_valid())
        yield "driftd_intake_paused", (), float(live.intake_paused())
        yield "driftd_store_bytes", (), maintenance.store_bytes(self.store.path)
        yield "driftd_worker_deaths_total", (), live.worker_deaths()
        yield "driftd_tick_failures_total", (), live.tick_failures()
        for (receiver, result), count in live.deliveries().items():
            yield "driftd_deliveries_total", (receiver, result), count
        timings = live.timings()
        with self.store.read() as conn:
            yield "driftd_outbox_oldest_age_seconds", (), outbox.oldest_age(conn, now) / SECOND
            kept = books.books(conn)
            open_by_model = [incident.model for incident in incidents.open_incidents(conn)]
            for name, model in self.settings.models.items():
                yield from _books(name, kept.get(name, {}))
                yield from _timing(name, timings.get(name, EvaluationTiming()))
                yield "driftd_open_incidents", (name,), open_by_model.count(name)
                yield from self._reading(conn, name, model, now)
                yield from self._last(conn, name, "drift", _drift)
                yield from self._last(conn, name, "quality", _quality)

    def _reading(self, conn: Connection, name: str, model: Model, now: Micros) -> Iterator[Sample]:
        lag = 0
        for role, topics, metric in (
            ("predictions", model.predictions.topic, "driftd_last_row_age_seconds"),
            ("labels", () if model.labels is None else model.labels.topic, "driftd_last_label_age_seconds"),
        ):
            known = watermarks.known_partitions(conn, name, role, topics) if topics else []
            arrived = []
            for one in known or []:
                if one.position is None:
                    continue
                lag += max(0, (one.partition.end_offset or 0) - one.position.next_offset)
                arrived.append(one.position.last_record_time)
            last = max((at for at in arrived if at is not None), default=None)
            if last is not None:
                yield metric, (name,), (now - last) / SECOND
        yield "driftd_lag_messages", (name,), lag
        topics = model.predictions.topic
        watermark = watermarks.effective_watermark(
            conn,
            name,
            topics=topics,
            clock=self.settings.clock,
            watermark_delay=micros(model.window.watermark_delay),
        )
        if self.settings.clock == "event":
            labels = () if model.labels is None else model.labels.topic
            time = watermarks.event_now(conn, name, prediction_topics=topics, label_topics=labels)
        else:
            time = now
        if watermark is not None and time is not None:
            yield "driftd_watermark_delay_seconds", (name,), max(0, time - watermark) / SECOND

    def _last(
        self,
        conn: Connection,
        name: str,
        kind: str,
        read: Callable[[str, evaluations.Evaluation, Iterable[evaluations.ResultRow]], list[Sample]],
    ) -> list[Sample]:
        """What the last window says; a window may have thousands of findings, so each revision is read once."""
        end = evaluations.last_window_end(conn, name, kind)
        if end is None:
            return []
        last = next(iter(list(evaluations.evaluated(conn, model=name, kind=kind, since=end))[-1:]), None)
        if last is None:
            return []
        key = (end, last.revision)
        known = self._judged.get((name, kind))
        if known is None or known[0] != key:
            rows = evaluations.results(conn, model=name, kind=kind, since=end, final_only=True)
            known = self._judged[name, kind] = (key, read(name, last, rows))
        return known[1]


def registry(settings: Settings, store: Store, live: Live, version: str) -> CollectorRegistry:
    """A fresh registry with everything that driftd exports."""
    made = CollectorRegistry()
    made.register(StoreCollector(settings, store, live, version))
    return made


def _books(name: str, counters: Mapping[str, int]) -> Iterator[Sample]:
    for metric, total in (
        ("driftd_messages_total", "messages"),
        ("driftd_predictions_total", "predictions"),
        ("driftd_labels", "labels"),
    ):
        for fate in books.EQUATIONS[total]:
            yield metric, (name, fate), counters.get(fate, 0)
    for limit, counter in (
        ("dead_letters", "dead_letters_cut"),
        ("predictions_for_labels", "predictions_thinned"),
        ("labels", "thinned"),
    ):
        yield "driftd_limits_cut_total", (name, limit), counters.get(counter, 0)


def _timing(name: str, timing: EvaluationTiming) -> Iterator[Sample]:
    yield "driftd_evaluations_total", (name, "done"), timing.count - timing.errors
    yield "driftd_evaluations_total", (name, "error"), timing.errors
    yield "driftd_evaluation_seconds_total", (name,), timing.seconds
    yield "driftd_evaluations_overdue", (name,), timing.overdue


def _drift(name: str, _: evaluations.Evaluation, rows: Iterable[evaluations.ResultRow]) -> list[Sample]:
    ratios = [
        row.value / row.threshold
        for row in rows
        if row.signal == Signal.PREDICTION_DRIFT
        and row.segment is None
        and row.value is not None
        and row.threshold is not None
        and row.threshold > 0
    ]
    return [("driftd_prediction_drift_ratio", (name,), max(ratios))] if ratios else []


def _quality(name: str, last: evaluations.Evaluation, rows: Iterable[evaluations.ResultRow]) -> list[Sample]:
    found: list[Sample] = [
        ("driftd_quality", (name, row.metric), row.value)
        for row in rows
        if row.signal == Signal.QUALITY and row.segment is None and row.version is None and row.value is not None
    ]
    if last.expected:
        found.append(("driftd_label_join_ratio", (name,), last.rows / last.expected))
    return found
