"""Silence, standing partitions, lag and lost offsets, by wall clock: recorded when they begin and when they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon import __version__
from daemon.config.settings import Settings
from daemon.incidents.board import Observation
from daemon.schedule.recording import Recorder
from daemon.schedule.silence import (
    SHORTEST_SILENCE,
    Allowance,
    Lost,
    Partition,
    caught_up,
    lagging,
    lost_offsets,
    no_predictions,
    stalled,
)
from daemon.schedule.stretches import LOOK_BACK, allowed_silence, spans_of
from daemon.schedule.watch import Watched
from daemon.store import Connection, Store, collecting, gaps, watermarks
from daemon.store.evaluations import Evaluation
from detectors.findings import FIRING, Finding
from detectors.instants import MINUTE, Micros, micros


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be said of a stretch that lasts until now."""

    kind: str
    start: Micros
    finding: Finding


class Traffic:
    """Looks at how far each model's partitions have been read. Under `clock: event` only lost offsets are judged."""

    def __init__(self, settings: Settings, store: Store, recorder: Recorder, clock: Callable[[], Micros]) -> None:
        self._watched = {name: Watched.of(settings, name) for name in settings.models}
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._fresh = max(MINUTE, 3 * micros(settings.store.checkpoint))
        self._moved: dict[tuple[str, str, str, int], tuple[int, Micros]] = {}

    def look(self) -> int:
        """Judges every model and returns how many changes were recorded."""
        return sum(self._look(watched) for watched in self._watched.values())

    def _look(self, watched: Watched) -> int:
        wall = self._clock()
        with self._store.read() as conn:
            now = watched.times(conn, wall).now
            if now is None:
                return 0
            news = [
                judgement
                for judgement in self._judge(conn, watched, now)
                if self._is_news(conn, watched.name, judgement)
            ]
        for judgement in news:
            with self._store.write() as conn:
                self._record(conn, watched, judgement, now, wall)
        return len(news)

    def _judge(self, conn: Connection, watched: Watched, now: Micros) -> list[Judgement]:
        found = list(self._lost(conn, watched, now))
        if watched.clock == "event":
            return found
        predictions = self._partitions(conn, watched, "predictions", now)
        labels = self._partitions(conn, watched, "labels", now)
        silence = self._silence(conn, watched, predictions, now)
        read = [*predictions, *labels]
        if (collection := collecting.load(conn, watched.name)) is not None:
            # Where its reference is collected, a model waits for its slowest partition on purpose.
            read = [*(() if collection.is_open else predictions), *(labels if collection.is_labelled else ())]
        standing = stalled(read, now)
        lag = lagging(read, now)
        since = min((p.moved_at for p in read if p.behind), default=now)
        found += [Judgement("stalled", since, standing)]
        found += [Judgement("lagging", now - int((lag.value or 0) * 1_000_000), lag)]
        return [*found, *silence]

    def _silence(
        self, conn: Connection, watched: Watched, partitions: Sequence[Partition], now: Micros
    ) -> list[Judgement]:
        known = watermarks.known_partitions(conn, watched.name, "predictions", watched.prediction_topics) or []
        arrived = [one.position.last_record_time for one in known if one.position is not None]
        last = max((at for at in arrived if at is not None), default=None)
        if last is None or not caught_up(partitions, now, self._fresh):
            return []
        if watched.model.alerts.no_predictions.after == "auto" and now - last <= SHORTEST_SILENCE:
            # Less than `auto` could ever object to: what is usual need not be looked up, as it is not nearly always.
            allowed: Allowance | None = Allowance(SHORTEST_SILENCE)
        else:
            allowed = allowed_silence(conn, watched, spans_of(conn, watched.name, now - LOOK_BACK, now))
        if allowed is None:
            return []
        return [Judgement("silence", last, no_predictions(last, now, allowed))]

    def _lost(self, conn: Connection, watched: Watched, now: Micros) -> list[Judgement]:
        """Offsets that were never read: told once, and over when the windows that they fell into have passed."""
        if watched.clock == "wall":
            recent = [gap for gap in gaps.gaps(conn, watched.name) if gap.at > now - watched.size]
            since = min((gap.at for gap in recent), default=now)
        else:
            recent = gaps.gaps(conn, watched.name, start=now - watched.size)
            since = min((gap.event_time_from or now for gap in recent), default=now)
        lost = [Lost(gap.topic, gap.partition, gap.from_offset, gap.to_offset, gap.reason) for gap in recent]
        return [Judgement("lost", since, lost_offsets(lost))]

    def _partitions(self, conn: Connection, watched: Watched, role: str, now: Micros) -> list[Partition]:
        topics = watched.prediction_topics if role == "predictions" else watched.label_topics
        found = []
        for one in watermarks.known_partitions(conn, watched.name, role, topics) or []:
            if one.position is None:
                continue
            key = (watched.name, role, one.partition.topic_id, one.partition.partition)
            offset, since = self._moved.get(key, (-1, now))
            if offset != one.position.next_offset:
                since = now
            self._moved[key] = (one.position.next_offset, since)
            found.append(
                Partition(
                    topic=one.partition.topic,
                    number=one.partition.partition,
                    next=one.position.next_offset,
                    end=one.partition.end_offset,
                    asked_at=one.partition.attested_at,
                    moved_at=since,
                    last_record=one.partition.last_record_time,
                )
            )
        return found

    def _is_news(self, conn: Connection, model: str, judgement: Judgement) -> bool:
        """Whether the finding is another than what the board says already."""
        told = any(
            line.told and (line.key.signal, line.key.metric) == (judgement.finding.signal, judgement.finding.metric)
            for line in self._recorder.board(conn, model).lines
        )
        return told != (judgement.finding.verdict in FIRING)

    def _record(self, conn: Connection, watched: Watched, judgement: Judgement, now: Micros, wall: Micros) -> None:
        evaluation = Evaluation(
            model=watched.name,
            kind=judgement.kind,
            window_start=min(judgement.start, now),
            window_end=now,
            revision=0,
            every=watched.every,
            rows=0,
            expected=None,
            fingerprint=0,
            watermark=now,
            evaluated_at=now,
            reference=None,
            config_hash=watched.config_hash,
            driftd_version=__version__,
        )
        observation = Observation("silence", evaluation.window_start, now, [judgement.finding])
        self._recorder.record(conn, evaluation, [observation], now=now, wall=wall)
