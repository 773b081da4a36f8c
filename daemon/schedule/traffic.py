"""Silence, standing partitions, lag and lost offsets, by wall clock: recorded when they begin and when they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.config.settings import Settings
from daemon.incidents.board import Observation
from daemon.schedule.first_row import no_row_yet, reading_since
from daemon.schedule.lag import LAG_LIMIT, Look, Partition, caught_up, lagging, stalled
from daemon.schedule.recording import Recorder
from daemon.schedule.silence import (
    SHORTEST_SILENCE,
    Allowance,
    lost_offsets,
    no_predictions,
    until_known,
)
from daemon.schedule.stretches import LOOK_BACK, LOST, allowed_silence, lost_of, proving, spans_of
from daemon.schedule.watch import Watched
from daemon.store import Connection, Store, collecting, gaps, status, watermarks
from detectors.findings import FIRING, Finding
from detectors.instants import MINUTE, Micros, micros

LOOKS_APART: Micros = MINUTE
"""Of the looks at a partition so many are kept: one a minute, as far back as lag is judged by."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be said of a stretch that lasts until now."""

    kind: str
    start: Micros
    finding: Finding


_Place = tuple[str, str, str, int]
"""A model, the role that it reads in, a topic's id and a partition."""


class Traffic:
    """Looks at how far each model's partitions have been read. Under `clock: event` rows prove what has happened."""

    def __init__(self, settings: Settings, store: Store, recorder: Recorder, clock: Callable[[], Micros]) -> None:
        self._watched = {name: Watched.of(settings, name) for name in settings.models}
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._fresh = max(MINUTE, 3 * micros(settings.store.checkpoint))
        self._moved: dict[_Place, tuple[int, Micros]] = {}
        self._looks: dict[_Place, list[Look]] = {}
        self._missing: dict[str, Micros] = {}

    def look(self) -> int:
        """Judges every model and returns how many changes were recorded."""
        return sum(self._look(watched) for watched in self._watched.values() if watched.clock == "wall")

    def _look(self, watched: Watched) -> int:
        now = self._clock()
        with self._store.read() as conn:
            news = [
                judgement
                for judgement in self._judge(conn, watched, now)
                if self._is_news(conn, watched.name, judgement)
            ]
        for judgement in news:
            with self._store.write() as conn:
                self._record(conn, watched, judgement, now)
        return len(news)

    def _judge(self, conn: Connection, watched: Watched, now: Micros) -> list[Judgement]:
        found = [self._lost(conn, watched, now)]
        state = status.model_states_by_name(conn).get(watched.name)
        began = reading_since(conn, state)
        if began is None:
            # It waits for its reference and reads nothing: what comes meanwhile is neither lag nor silence.
            self._forget(watched.name)
            return found
        predictions = self._partitions(conn, watched, "predictions", now)
        labels = self._partitions(conn, watched, "labels", now)
        silence = self._silence(conn, watched, predictions, began, now)
        read = [*predictions, *labels]
        if (collection := collecting.load(conn, watched.name)) is not None:
            # Where its reference is collected, a model waits for its slowest partition on purpose.
            read = [*(() if collection.is_open else predictions), *(labels if collection.is_labelled else ())]
        standing = stalled(read, now)
        since = min((p.moved_at for p in read if p.behind), default=now)
        found.append(Judgement("stalled", since, standing))
        if (lag := lagging(read, now)) is not None:
            found.append(Judgement("lagging", now - int((lag.value or 0) * 1_000_000), lag))
        return [*found, *silence]

    def _silence(
        self, conn: Connection, watched: Watched, partitions: Sequence[Partition], began: Micros, now: Micros
    ) -> list[Judgement]:
        setting = watched.model.alerts.no_predictions.after
        known = watermarks.known_partitions(conn, watched.name, "predictions", watched.prediction_topics)
        arrived = [one.position.last_record_time for one in known or [] if one.position is not None]
        last = max((at for at in arrived if at is not None), default=None)
        never = no_row_yet(conn, watched.name, watched.model) if last is None else None
        if last is None and never is None:
            return []
        if known is None:
            # The topic is not there: Kafka has to have been asked by this very process.
            asked_since = self._missing.setdefault(watched.name, now)
            if now - asked_since <= self._fresh or any(n.key == "stream.kafka" for n in status.load_notes(conn)):
                return []
        else:
            self._missing.pop(watched.name, None)
            if not caught_up(partitions, now, self._fresh):
                return []
        last = began if last is None else last
        if setting == "auto" and now - last <= SHORTEST_SILENCE:
            # Less than `auto` could ever object to: what is usual need not be looked up, as it is not nearly always.
            allowed = Allowance(SHORTEST_SILENCE)
        else:
            usual = allowed_silence(conn, watched, spans_of(conn, watched.name, now - LOOK_BACK, now))
            allowed = until_known(usual, setting, has_rows=never is None)
        return [Judgement("silence", last, no_predictions(last, now, allowed, never=never))]

    def _lost(self, conn: Connection, watched: Watched, now: Micros) -> Judgement:
        """Offsets that were never read: told once, and over when the windows that they fell into have passed."""
        recent = [gap for gap in gaps.gaps(conn, watched.name) if gap.at > now - watched.size]
        since = min((gap.at for gap in recent), default=now)
        return Judgement(LOST, since, lost_offsets(lost_of(recent)))

    def _partitions(self, conn: Connection, watched: Watched, role: str, now: Micros) -> list[Partition]:
        topics = watched.prediction_topics if role == "predictions" else watched.label_topics
        found = []
        for one in watermarks.known_partitions(conn, watched.name, role, topics) or []:
            if one.position is None:
                continue
            key = (watched.name, role, one.partition.topic_id, one.partition.partition)
            place, end = one.position.next_offset, one.partition.end_offset
            offset, since = self._moved.get(key, (-1, now))
            if offset != place or (end is not None and place >= end):
                since = now
            self._moved[key] = (place, since)
            # What others have read of a shared topic says nothing of a model that is behind them.
            whose = one.position if one.is_behind else one.partition
            found.append(
                Partition(
                    topic=one.partition.topic,
                    number=one.partition.partition,
                    next=place,
                    end=end,
                    asked_at=one.partition.attested_at,
                    moved_at=since,
                    last_record=whose.last_record_time,
                    looks=self._look_at(key, Look(now, place, end)),
                )
            )
        return found

    def _look_at(self, key: _Place, look: Look) -> tuple[Look, ...]:
        """The earlier looks at a partition; keeps this one beside them."""
        looks = self._looks.setdefault(key, [])
        before = tuple(looks)
        if not looks or look.at - looks[-1].at >= LOOKS_APART:
            looks.append(look)
        while len(looks) > 1 and look.at - looks[1].at >= LAG_LIMIT:
            del looks[0]
        return before

    def _forget(self, model: str) -> None:
        for kept in (self._moved, self._looks):
            for key in [key for key in kept if key[0] == model]:
                del kept[key]

    def _is_news(self, conn: Connection, model: str, judgement: Judgement) -> bool:
        """Whether the finding is another than what the board says already."""
        told = any(
            line.told and (line.key.signal, line.key.metric) == (judgement.finding.signal, judgement.finding.metric)
            for line in self._recorder.board(conn, model).lines
        )
        return told != (judgement.finding.verdict in FIRING)

    def _record(self, conn: Connection, watched: Watched, judgement: Judgement, now: Micros) -> None:
        evaluation = proving(watched, judgement.kind, min(judgement.start, now), now)
        observation = Observation("silence", evaluation.window_start, now, [judgement.finding])
        self._recorder.record(conn, evaluation, [observation], now=now, wall=now)
