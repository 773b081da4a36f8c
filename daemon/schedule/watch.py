"""What time it is for a model, and which of its windows are due: questions to the store with the model's settings."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.config.settings import Labels, Model, Settings
from daemon.config.windows import allowed_lateness, pane_length
from daemon.schedule.estimating import keeps_scored, open_labels
from daemon.schedule.rules import rules_of
from daemon.store import Connection, collecting, due, evaluations, watermarks
from daemon.store.due import DueWindow, QualityTerms, Retry
from daemon.store.watermarks import Clock
from detectors.instants import Micros, micros
from detectors.rules import Rules


@dataclass(frozen=True, slots=True)
class Times:
    """Instants of one model. `watermark` and `label_watermark` are event times, None while unknown.

    `now` is what decisions go by: wall clock, or under `clock: event` the event time that every partition has passed.
    """

    now: Micros | None
    watermark: Micros | None
    label_watermark: Micros | None


@dataclass(frozen=True, slots=True)
class Watched:
    """One model with everything that its schedule needs, worked out once."""

    name: str
    model: Model
    rules: Rules
    clock: Clock
    size: Micros
    every: Micros
    pane: Micros
    delay: Micros
    lateness: Micros
    prediction_topics: tuple[str, ...]
    label_topics: tuple[str, ...]
    config_hash: str

    @classmethod
    def of(cls, settings: Settings, name: str) -> Watched:
        model = settings.models[name]
        return cls(
            name=name,
            model=model,
            rules=rules_of(settings, name),
            clock=settings.clock,
            size=micros(model.window.size),
            every=micros(model.window.every),
            pane=pane_length(model.window),
            delay=micros(model.window.watermark_delay),
            lateness=allowed_lateness(model.window),
            prediction_topics=tuple(model.predictions.topic),
            label_topics=() if model.labels is None else tuple(model.labels.topic),
            config_hash=model.hash,
        )

    @property
    def judges_quality(self) -> bool:
        """Whether there are labels, and a task to judge them by."""
        return self.model.labels is not None and self.model.task != "none"

    def times(self, conn: Connection, wall: Micros) -> Times:
        """What time it is for the model, from committed rows."""
        watermark = watermarks.effective_watermark(
            conn, self.name, topics=self.prediction_topics, clock=self.clock, watermark_delay=self.delay
        )
        label_watermark = None
        if self.label_topics:
            label_watermark = watermarks.effective_watermark(
                conn,
                self.name,
                topics=self.label_topics,
                clock=self.clock,
                watermark_delay=self.delay,
                role="labels",
            )
        if self.clock == "wall":
            return Times(wall, watermark, label_watermark)
        now = watermarks.event_now(
            conn, self.name, prediction_topics=self.prediction_topics, label_topics=self.label_topics
        )
        return Times(now, watermark, label_watermark)

    def due_drift(
        self,
        conn: Connection,
        times: Times,
        *,
        flush: bool = False,
        everything: bool = True,
        retry: Retry | None = None,
    ) -> list[DueWindow]:
        """The drift windows to be evaluated now, in order; without `everything` only among those not long closed."""
        judged_from = self._judged_from(conn)
        if times.now is None or judged_from is None:
            return []
        open_since = 0 if everything else self._open_since(conn, "drift", times.watermark, self.lateness)
        return due.due_drift(
            conn,
            self.name,
            size=self.size,
            every=self.every,
            pane=self.pane,
            allowed_lateness=self.lateness,
            watermark=times.watermark if flush else self._drift_watermark(conn, times.watermark),
            now=times.now,
            flush=flush,
            since=max(judged_from, open_since or 0),
            retry=retry,
        )

    def due_quality(
        self,
        conn: Connection,
        times: Times,
        *,
        flush: bool = False,
        everything: bool = True,
        retry: Retry | None = None,
    ) -> list[DueWindow]:
        """The quality windows to be evaluated now, in order; without `everything` only among those not long closed."""
        if not self.judges_quality or self.model.labels is None or times.now is None:
            return []
        judged_from = self._judged_from(conn, "quality")
        if judged_from is None:
            return []
        label_now = self.label_now(times)
        terms = self._quality_terms(self.model.labels)
        settled = None if label_now is None or times.watermark is None else min(label_now, times.watermark)
        open_since = 0 if everything else self._open_since(conn, "quality", settled, terms.closes[-1])
        return due.due_quality(
            conn,
            self.name,
            terms,
            watermark=times.watermark,
            label_now=label_now,
            now=times.now,
            flush=flush,
            since=max(judged_from, open_since or 0),
            retry=retry,
        )

    def _drift_watermark(self, conn: Connection, watermark: Micros | None) -> Micros | None:
        """How far drift may be judged: in a replay no window overtakes the labels that its estimate is learned from.

        Otherwise it would depend on the speed of reading whether it has one. By wall clock nothing waits.
        """
        held = open_labels(conn, self.model, self.name) if self.clock == "event" else None
        return watermark if watermark is None or held is None else min(watermark, held)

    def _judged_from(self, conn: Connection, kind: str = "drift") -> Micros | None:
        """The first instant that windows to be judged can start at; None while the reference is collected."""
        collection = collecting.load(conn, self.name)
        if collection is None:
            return 0
        return None if kind == "quality" and not collection.is_labelled else collection.judged_from

    def _open_since(self, conn: Connection, kind: str, settled: Micros | None, lateness: Micros) -> Micros | None:
        """Where the first window starts that rows in order, or late within bounds, can still change; None: anywhere."""
        evaluated = evaluations.last_window_end(conn, self.name, kind)
        if settled is None or evaluated is None:
            return None
        return min(settled - lateness - self.size, evaluated) - self.size - self.every

    def _quality_terms(self, labels: Labels) -> QualityTerms:
        return QualityTerms(
            size=self.size,
            every=self.every,
            coverage=labels.maturity.coverage,
            at_most=micros(labels.maturity.at_most),
            allowed_lateness=self.lateness,
            several=self.model.several_labels,
        )

    def label_now(self, times: Times) -> Micros | None:
        """The instant by which labels are old: wall clock, or the event time up to which labels have come."""
        return times.now if self.clock == "wall" else times.label_watermark

    def labels_needed_from(self, conn: Connection, times: Times) -> Micros | None:
        """The first pane whose predictions and labels a window may still need; None while nothing can go."""
        if self.model.labels is None:
            return None
        judged_from = self._judged_from(conn, "quality")
        if judged_from is None:
            return None
        terms = self._quality_terms(self.model.labels)
        if not self.judges_quality:
            label_now = self.label_now(times)
            if label_now is None or times.watermark is None:
                return None
            return min(label_now, times.watermark) - terms.closes[-1] - self.size
        needed = due.labels_needed_from(
            conn,
            self.name,
            terms,
            watermark=times.watermark,
            label_now=self.label_now(times),
            since=judged_from,
        )
        drift_until = evaluations.last_window_end(conn, self.name, "drift")
        if needed is None or drift_until is None or not keeps_scored(self.model):
            return needed
        # Drift may lag behind quality, and its next window's estimate is made from predictions that wait for labels.
        return min(needed, drift_until + self.every - self.size)
