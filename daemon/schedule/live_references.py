"""References from live traffic: collected by intake, window by window, and built here once there are enough."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec

from daemon import crashpoints
from daemon.config.settings import Model, Settings
from daemon.config.windows import pane_length
from daemon.schedule.references import REJECTIONS, UNSUITABLE, SpecOf, activate, last_part, read_request
from daemon.schedule.tasks import (
    BUILD_COLLECTED,
    MERGE_WINDOW,
    BuiltReference,
    CollectedTask,
    LiveWindow,
    ReadRequest,
    WindowTask,
)
from daemon.schedule.watch import Watched
from daemon.schedule.workers import PoolClosed, TaskFailed, WorkerError, WorkerPool
from daemon.store import Connection, Store, StoreError, collecting, labels, panes, references, specs, status, watermarks
from daemon.store.collecting import Collection
from daemon.store.references import ReferenceUse, StoredReference
from daemon.store.specs import Activation
from detectors.collected import ID, LABEL, PREDICTION, SCORE, SCORES, TIME, CollectedRows
from detectors.instants import Micros, micros, rfc3339

log = logging.getLogger("driftd.schedule")

BUILD_TIMEOUT = 600.0
ROWS_OF_A_WINDOW = 2_000
MOST_ROWS = 100_000
"""With so many windows that they would have more rows than this together, each keeps fewer."""

CollectingSpec = Callable[[str, Model], tuple[str, bytes]]
"""What rows are counted by until there is a reference, as (hash, bytes)."""


class LiveReferences:
    """Looks after every model without a reference file. `refresh` does what there is to do, and can be called often."""

    def __init__(
        self, settings: Settings, store: Store, pool: WorkerPool, collecting_spec: CollectingSpec, spec_of: SpecOf
    ) -> None:
        self._watched = {
            name: Watched.of(settings, name) for name, model in settings.models.items() if model.reference.is_live
        }
        self._store = store
        self._pool = pool
        self._collecting_spec = collecting_spec
        self._spec_of = spec_of
        self._compared: set[str] = set()
        self._failed: set[str] = set()
        self._unsuitable: set[str] = set()

    def refresh(self, now: Micros) -> None:
        """Brings every model as far as its committed rows allow."""
        for name, watched in self._watched.items():
            if name in self._unsuitable:
                continue
            try:
                self._refresh(watched, now)
            except PoolClosed:
                return
            except StoreError as error:
                log.warning("%s: its reference waits for the store: %s", name, error)
            except WorkerError as error:
                self._failed.add(name)
                log.warning("%s: its reference could not be built: %s", name, error)
                self._say(name, "waiting", f"its reference could not be built: {error}", now)
            else:
                self._failed.discard(name)

    def unusable(self) -> list[str]:
        """The models whose reference is complete and could not be built when that was last tried."""
        return sorted(self._failed | self._unsuitable)

    def unfinished(self) -> list[str]:
        """The models that are not judged yet because their reference is not complete."""
        with self._store.read() as conn:
            found = collecting.load_all(conn)
        return [name for name in self._watched if name in found and found[name].is_open]

    def _refresh(self, watched: Watched, now: Micros) -> None:
        name = watched.name
        with self._store.read() as conn:
            collection = collecting.load(conn, name)
            has_spec = bool(specs.active(conn, name))
        if collection is None and has_spec:
            # It has a reference from before, which goes on: what the first windows were like nobody can say any more.
            self._say(name, "running", "", now)
        elif collection is None or (collection.is_open and not self._continues(watched, collection)):
            self._begin(watched, now)
        elif collection.is_open:
            self._collect(watched, collection, now)
        else:
            self._keep_up(watched, collection, now)

    # Collecting

    def _terms(self, watched: Watched) -> Collection:
        spec_hash, _ = self._collecting_spec(watched.name, watched.model)
        return Collection(
            model=watched.name,
            spec_hash=spec_hash,
            size=watched.size,
            pane=watched.pane,
            delay=watched.delay,
            min_rows=watched.model.window.min_rows,
            wanted=watched.model.reference.windows(watched.model.window.size),
            since=0,
            is_labelled=not watched.judges_quality or watched.model.predictions.fields.item is not None,
        )

    def _continues(self, watched: Watched, collection: Collection) -> bool:
        """Whether what has been collected so far is of use under the present settings."""
        terms = self._terms(watched)
        return replace(terms, wanted=0, since=0) == replace(
            collection, wanted=0, since=0, decided_until=None, is_labelled=terms.is_labelled
        )

    def _begin(self, watched: Watched, now: Micros) -> None:
        terms = self._terms(watched)
        spec_hash, body = self._collecting_spec(watched.name, watched.model)
        with self._store.write() as conn:
            specs.add_spec(conn, spec_hash, body, now)
            activate(conn, watched.name, spec_hash, watched.pane)
            since = max(one.from_pane for one in specs.active(conn, watched.name))
            collecting.begin(conn, replace(terms, since=since))
        self._say_progress(watched, now)

    def _collect(self, watched: Watched, collection: Collection, now: Micros) -> None:
        name = watched.name
        wanted = self._terms(watched).wanted
        if wanted != collection.wanted:
            with self._store.write() as conn:
                collecting.set_wanted(conn, name, wanted)
        with self._store.read() as conn:
            decided = collecting.windows(conn, name)
        used = [window for window in decided if window.skipped is None]
        for window in used:
            if not window.is_merged:
                self._merge(watched, window.start, wanted)
        if len(used) >= wanted:
            self._build(watched, now)
        else:
            self._say_progress(watched, now)

    def _merge(self, watched: Watched, start: Micros, wanted: int) -> None:
        with self._store.read() as conn:
            parts = panes.load_partials(conn, watched.name, start, start + watched.size)
        samples = tuple(part.sample for part in parts if part.sample is not None)
        task = WindowTask(samples, max(1, min(ROWS_OF_A_WINDOW, MOST_ROWS // wanted)))
        title = f"merging a window of the reference of {watched.name}"
        sample = self._pool.submit(MERGE_WINDOW, task, name=title).result()
        with self._store.write() as conn:
            collecting.keep_sample(conn, watched.name, start, sample)

    # Building

    def _build(self, watched: Watched, now: Micros) -> None:
        name = watched.name
        with self._store.read() as conn:
            collection = collecting.load(conn, name)
            windows = _kept(conn, name)
        assert collection is not None
        request = live_request(watched.model)
        try:
            built = self._built(watched, request, windows, collection)
        except TaskFailed as error:
            if error.kind == UNSUITABLE:
                # No other rows would help: only other settings, which are read at the next start.
                self._unsuitable.add(name)
                log.error("%s: the reference cannot be used: %s", name, error.message)
                self._say(name, "waiting", f"the reference cannot be used: {error.message}", now)
                return
            if error.kind not in REJECTIONS:
                raise
            log.warning("%s: the reference cannot be used, one more window is collected: %s", name, error.message)
            with self._store.write() as conn:
                collecting.drop_first(conn, name, error.message)
            self._say_progress(watched, now)
            return
        end = collection.decided_until
        assert end is not None
        crashpoints.reach("reference.before_transaction")
        with self._store.write() as conn:
            spec_hash = self._store_reference(conn, watched, built, windows, now)
            first = _first_pane(conn, collection, collection.closes(end))
            specs.activate(conn, Activation(name, None, first, spec_hash))
            collecting.set_built(
                conn,
                name,
                judged_from=first,
                request_hash=_digest(request),
                is_labelled=self._terms(watched).is_labelled,
            )
            status.set_model_state(conn, name, "running", "", now)
        crashpoints.reach("reference.after_transaction")
        self._compared.add(name)
        log.info("%s: reference %s (%d rows) from live traffic", name, built.hash[:12], built.rows)

    def _built(
        self, watched: Watched, request: ReadRequest, windows: tuple[LiveWindow, ...], collection: Collection
    ) -> BuiltReference:
        task = CollectedTask(request, windows, collection.size)
        title = f"building the reference of {watched.name}"
        return self._pool.submit(BUILD_COLLECTED, task, name=title, timeout=BUILD_TIMEOUT).result()

    def _store_reference(
        self,
        conn: Connection,
        watched: Watched,
        built: BuiltReference,
        windows: tuple[LiveWindow, ...],
        now: Micros,
    ) -> str:
        """Stores a reference and its spec, whose hash it returns."""
        _add(conn, watched, built, windows, now)
        references.use(conn, ReferenceUse(watched.name, None, built.hash, now))
        spec_hash, spec = self._spec_of(watched.name, watched.model, built)
        specs.add_spec(conn, spec_hash, spec, now)
        return spec_hash

    # Once there is a reference

    def _keep_up(self, watched: Watched, collection: Collection, now: Micros) -> None:
        """Builds the reference anew for other settings, and with its labels once they are there."""
        name, request = watched.name, live_request(watched.model)
        if name not in self._compared:
            if _digest(request) != collection.request_hash:
                self._rebuild(watched, collection, request, now)
                return
            self._say(name, "running", "", now)
            self._compared.add(name)
        if not collection.is_labelled:
            self._label(watched, collection, request, now)

    def _rebuild(self, watched: Watched, collection: Collection, request: ReadRequest, now: Micros) -> None:
        name = watched.name
        with self._store.read() as conn:
            windows = _kept(conn, name)
        try:
            built = self._built(watched, request, _unlabelled(windows), collection)
        except TaskFailed as error:
            if error.kind not in {*REJECTIONS, UNSUITABLE}:
                raise
            self._compared.add(name)
            reason = f"the reference cannot be used, the last good one goes on: {error.message}"
            self._say(name, "running", reason, now)
            return
        is_labelled = all(window.labels is None for window in windows) and collection.is_labelled
        with self._store.write() as conn:
            spec_hash = self._store_reference(conn, watched, built, windows, now)
            activate(conn, name, spec_hash, pane_length(watched.model.window))
            assert collection.judged_from is not None
            collecting.set_built(
                conn,
                name,
                judged_from=collection.judged_from,
                request_hash=_digest(request),
                is_labelled=is_labelled,
            )
            status.set_model_state(conn, name, "running", "", now)
        self._compared.add(name)

    def _label(self, watched: Watched, collection: Collection, request: ReadRequest, now: Micros) -> None:
        """Looks the labels up when all that are waited for have come; quality is held against them from then on."""
        name = watched.name
        with self._store.read() as conn:
            if not _labels_are_there(conn, watched, collection, now):
                return
            windows = _kept(conn, name)
            found = [
                window if window.labels is not None else replace(window, labels=_labels_of(conn, watched, window))
                for window in windows
            ]
            unlabelled_hash = references.current(conn, name)
        labelled = tuple(found)
        built: BuiltReference | None = None
        try:
            built = self._built(watched, request, labelled, collection)
        except TaskFailed as error:
            if error.kind not in REJECTIONS:
                raise
            log.warning("%s: the labels of its reference cannot be used: %s", name, error.message)
        crashpoints.reach("reference.before_labels")
        with self._store.write() as conn:
            for window in labelled:
                assert window.labels is not None
                collecting.keep_labels(conn, name, window.start, window.labels)
            if built is not None:
                _add(conn, watched, built, labelled, now)
            collecting.set_labelled(conn, name, unlabelled_hash, None if built is None else built.hash)
        crashpoints.reach("reference.after_labels")

    # Saying so

    def _say_progress(self, watched: Watched, now: Micros) -> None:
        with self._store.read() as conn:
            collection = collecting.load(conn, watched.name)
            decided = collecting.windows(conn, watched.name)
        if collection is not None:
            self._say(watched.name, "waiting", collecting.progress(collection, decided), now)

    def _say(self, name: str, state: str, reason: str, now: Micros) -> None:
        with self._store.read() as conn:
            known = status.model_states_by_name(conn).get(name)
        if known is None or (known.state, known.reason) != (state, reason):
            with self._store.write() as conn:
                status.set_model_state(conn, name, state, reason, now)


def live_request(model: Model) -> ReadRequest:
    """What a reference from live traffic is to be like: the rows' columns go by their names in the messages."""
    fields = model.predictions.fields
    patterns = (fields.features,) if isinstance(fields.features, str) else fields.features
    listed = {last_part(pattern) for pattern in patterns if pattern != "*" and not pattern.endswith(".*")}
    watched = {*model.columns.important, *model.columns.overrides, *(c for group in model.segments.by for c in group)}
    required = {*listed, *watched} - set(model.columns.exclude) - {"prediction", "score"}
    return replace(
        read_request(model, Path("the live traffic")),
        timestamp=TIME,
        timestamp_unit="us",
        prediction=None if fields.prediction is None else PREDICTION,
        score=None if fields.score is None else SCORE,
        scores=None if fields.scores is None else SCORES,
        label=LABEL if model.labels is not None else None,
        id=ID,
        ignored=(ID,),
        features=None,
        required=tuple(sorted(required)),
    )


def _digest(request: ReadRequest) -> str:
    return sha256(msgspec.json.encode(request, order="sorted", enc_hook=str)).hexdigest()


def _kept(conn: Connection, name: str) -> tuple[LiveWindow, ...]:
    return tuple(LiveWindow(one.start, one.rows, one.sample, one.labels) for one in collecting.kept(conn, name))


def _unlabelled(windows: tuple[LiveWindow, ...]) -> tuple[LiveWindow, ...]:
    return tuple(replace(window, labels=None) for window in windows)


def _add(
    conn: Connection, watched: Watched, built: BuiltReference, windows: tuple[LiveWindow, ...], now: Micros
) -> None:
    first, end = windows[0].start, windows[-1].start + watched.size
    uri = f"live traffic {rfc3339(first)} to {rfc3339(end)}"
    references.add(conn, StoredReference(built.hash, watched.name, uri, built.rows, now, built.body))


def _first_pane(conn: Connection, collection: Collection, wanted: Micros) -> Micros:
    """The first pane of the spec: the wanted one, unless rows have been counted there under other settings."""
    last = specs.last_counted_pane(conn, collection.model)
    return wanted if last is None or last < wanted else last + collection.pane


def _labels_are_there(conn: Connection, watched: Watched, collection: Collection, now: Micros) -> bool:
    """Whether every label partition has shown one from after the time that labels are waited for, or has no more."""
    assert watched.model.labels is not None
    assert collection.decided_until is not None
    until = collection.closes(collection.decided_until) + micros(watched.model.labels.maturity.at_most)
    times = watched.times(conn, now)
    if times.label_watermark is not None and times.label_watermark >= until - watched.delay:
        return True
    if watched.clock == "event" or now < until:
        return False
    known = watermarks.known_partitions(conn, watched.name, "labels", watched.label_topics) or []
    return all(
        one.position is not None and one.position.next_offset >= (one.partition.end_offset or 0) for one in known
    )


def _labels_of(conn: Connection, watched: Watched, window: LiveWindow) -> bytes:
    """The label of each row of a window's sample; a list of them where there may be several, or none for good."""
    hashes = CollectedRows.from_bytes(window.sample).identity.tolist()
    found = labels.of_ids(conn, watched.name, hashes)
    if watched.model.several_labels:
        return msgspec.msgpack.encode([found.get(one, []) for one in hashes])
    return msgspec.msgpack.encode([found[one][0] if one in found else None for one in hashes])
