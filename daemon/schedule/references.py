"""A model's reference: read and built in a worker, kept by its hash, in force from the next pane on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

from daemon import __version__
from daemon.config.settings import Model
from daemon.config.windows import LONGEST_PANE, pane_length
from daemon.schedule.tasks import READ_REFERENCE, BuiltReference, ReadRequest
from daemon.schedule.workers import PoolClosed, TaskFailed, WorkerError, WorkerPool
from daemon.store import Connection, Store, StoreError, collecting, references, specs, status, usual
from daemon.store.references import ReferenceUse, StoredReference
from daemon.store.specs import Activation
from detectors.instants import MINUTE, Micros, micros

log = logging.getLogger("driftd.schedule")

RETRY: Micros = MINUTE
READ_TIMEOUT = 600.0

SpecOf = Callable[[str, Model, BuiltReference], tuple[str, bytes]]
"""What decides how a model's rows become partials, as (hash, bytes)."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was known of a file when it was last read, and whether it could be used."""

    stamp: tuple[int, int] | None
    at: Micros
    usable: bool


class References:
    """Looks after every reference file: `refresh` reads what is new, has changed, or failed a minute ago.

    A file of the same size and time as when it was last read, under the same configuration, is not read again.
    """

    def __init__(self, models: Mapping[str, Model], store: Store, pool: WorkerPool, spec_of: SpecOf) -> None:
        self._models = {name: model for name, model in models.items() if not model.reference.is_live}
        self._store = store
        self._pool = pool
        self._spec_of = spec_of
        self._seen: dict[str, _Seen] = {}
        self.has_waited = False
        """Whether the store did not take a reference the last time, so that `refresh` is to be called soon."""

    def refresh(self, now: Micros) -> None:
        """Brings every model up to date with its file; a model that cannot be is `waiting`, the others go on."""
        self.has_waited = False
        self._recognise(now)
        reading: dict[str, tuple[tuple[int, int] | None, Future[BuiltReference]]] = {}
        for name, model in self._models.items():
            path = local_path(_uri(model))
            stamp = _stamp(path)
            if self._is_due(name, stamp, now):
                request = read_request(model, path)
                task = self._pool.submit(
                    READ_REFERENCE, request, name=f"reading the reference of {name}", timeout=READ_TIMEOUT
                )
                reading[name] = (stamp, task)
        for name, (stamp, future) in reading.items():
            try:
                self._adopt(name, stamp, future.result(), now)
            except PoolClosed:
                return
            except StoreError as error:
                # The reference may be sound: it is read again as soon as there is a store for it.
                log.warning("%s: the reference could not be stored: %s", name, error)
                self.has_waited = True
            except WorkerError as error:
                self._wait(name, error, now)
                self._seen[name] = _Seen(stamp, now, usable=False)
            else:
                self._seen[name] = _Seen(stamp, now, usable=True)

    def _recognise(self, now: Micros) -> None:
        """After a start, takes what was read before for what the files still hold, where nothing has changed."""
        fresh = {name: local_path(_uri(model)) for name, model in self._models.items() if name not in self._seen}
        if not fresh:
            return
        stamps = {name: stamp for name, path in fresh.items() if (stamp := _stamp(path)) is not None}
        with self._store.read() as conn:
            same = [name for name in stamps if references.file_mark(conn, name) == self._mark(conn, name, stamps[name])]
        if same:
            with self._store.write() as conn:
                for name in same:
                    status.set_model_state(conn, name, "running", "", now)
        self._seen |= {name: _Seen(stamps[name], now, usable=True) for name in same}

    def _mark(self, conn: Connection, name: str, stamp: tuple[int, int]) -> int:
        """63 bits of the hash of everything that a reference depends on, and of what is in force for its model."""
        settings = self._models[name].model_dump_json()
        parts = [__version__, name, settings, *stamp, references.current(conn, name), _in_force(conn, name)]
        return int.from_bytes(sha256(repr(parts).encode()).digest()[:8]) >> 1

    def unusable(self) -> list[str]:
        """The models whose reference could not be used when it was last read, and that have no earlier one."""
        bad = [name for name, seen in self._seen.items() if not seen.usable]
        if not bad:
            return []
        with self._store.read() as conn:
            return [name for name in bad if references.current(conn, name) is None]

    def _is_due(self, name: str, stamp: tuple[int, int] | None, now: Micros) -> bool:
        seen = self._seen.get(name)
        if seen is None or seen.stamp != stamp:
            return True
        return not seen.usable and now - seen.at >= RETRY

    def _adopt(self, name: str, stamp: tuple[int, int] | None, built: BuiltReference, now: Micros) -> None:
        model = self._models[name]
        spec_hash, spec = self._spec_of(name, model, built)
        with self._store.write() as conn:
            stored = StoredReference(built.hash, name, _uri(model), built.rows, now, built.body)
            references.add(conn, stored)
            references.use(conn, ReferenceUse(name, None, built.hash, now))
            if built.usual_gap is not None:
                usual.set_gap(conn, built.hash, built.usual_gap)
            specs.add_spec(conn, spec_hash, spec, now)
            is_new = activate(conn, name, spec_hash, pane_length(model.window))
            if stamp is not None:
                references.remember_file(conn, name, self._mark(conn, name, stamp))
            collecting.give_up(conn, name)
            status.set_model_state(conn, name, "running", "", now)
        if is_new:
            log.info("%s: reference %s (%d rows) from %s", name, built.hash[:12], built.rows, _uri(model))

    def _wait(self, name: str, error: Exception, now: Micros) -> None:
        # What a task raised on purpose is a sentence already; its class adds nothing for whoever reads `status`.
        is_sentence = isinstance(error, TaskFailed) and error.kind in {*REJECTIONS, UNSUITABLE}
        reason = error.message if isinstance(error, TaskFailed) and is_sentence else str(error)
        log.warning("%s: the reference cannot be used: %s", name, reason)
        try:
            with self._store.write() as conn:
                if references.current(conn, name) is None:
                    status.set_model_state(conn, name, "waiting", f"the reference cannot be used: {reason}", now)
                else:
                    kept = f"the reference cannot be used, the last good one goes on: {reason}"
                    status.set_model_state(conn, name, "running", kept, now)
        except StoreError as trouble:
            log.warning("%s: its state could not be written: %s", name, trouble)


REJECTIONS = frozenset({"ReferenceRejected", "EmptyReference", "MissingColumn", "UnusableColumn", "UnusableEventTime"})
UNSUITABLE = "UnsuitableMethod"
"""What no other rows would help against: the configuration must be corrected."""


def activate(conn: Connection, model: str, spec_hash: str, pane: Micros) -> bool:
    """Puts a spec in force from the first of its panes that no counted one reaches into; False if it is already."""
    active = _activations(conn, model)
    if active and active[-1].spec_hash == spec_hash:
        return False
    last = specs.last_counted_pane(conn, model)
    first = 0 if last is None else -(-(last + LONGEST_PANE) // pane) * pane
    # A spec that was to begin later has counted nothing yet, but the order of activations must stay that of decisions.
    if active:
        first = max(first, active[-1].from_pane)
    specs.activate(conn, Activation(model, None, first, spec_hash))
    return True


def _activations(conn: Connection, model: str) -> list[Activation]:
    return [activation for activation in specs.active(conn, model) if activation.version is None]


def _in_force(conn: Connection, model: str) -> str | None:
    """The hash of the spec that a model's rows of now are counted by."""
    active = _activations(conn, model)
    return active[-1].spec_hash if active else None


def _uri(model: Model) -> str:
    assert model.reference.uri is not None
    return model.reference.uri


def local_path(uri: str) -> Path:
    """The path that a reference's `uri` names: a plain path, or file://.

    >>> local_path("file:///data/a%20b.parquet"), local_path("/data/reference.csv")
    (PosixPath('/data/a b.parquet'), PosixPath('/data/reference.csv'))
    """
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else Path(uri)


def read_request(model: Model, path: Path) -> ReadRequest:
    """What the worker is asked to read: the file's column names follow from the messages' paths where none is given."""
    fields, given = model.predictions.fields, model.reference.fields
    patterns = (fields.features,) if isinstance(fields.features, str) else fields.features
    everything = any(pattern == "*" or pattern.endswith(".*") for pattern in patterns)
    features = None if everything else tuple(last_part(pattern) for pattern in patterns)
    label = given.label or (last_part(model.labels.fields.label) if model.labels is not None else None)
    prediction = given.prediction or (last_part(fields.prediction) if fields.prediction else None)
    score = given.score or (last_part(fields.score) if fields.score else None)
    scores = given.scores or (last_part(fields.scores) if fields.scores else None)
    named = (given.id, given.timestamp, given.version, given.label, given.scores)
    excluded = set(model.columns.exclude)
    watched = {*model.columns.important, *model.columns.overrides, *(c for group in model.segments.by for c in group)}
    required = {*filter(None, named), *(features or ()), *watched} - excluded - {"prediction", "score"}
    return ReadRequest(
        path=path,
        timestamp=given.timestamp or (last_part(fields.timestamp) if fields.timestamp else None),
        timestamp_unit=model.predictions.timestamp_unit,
        prediction=prediction,
        score=score,
        scores=scores,
        label=label,
        id=given.id or last_part(fields.id),
        ignored=tuple(
            name
            for name in (
                given.id or last_part(fields.id),
                given.version or (last_part(fields.version) if fields.version else None),
                last_part(fields.item) if fields.item else None,
            )
            if name is not None
        ),
        features=features,
        required=tuple(sorted(required)),
        exclude=model.columns.exclude,
        declared={
            column: override.type for column, override in model.columns.overrides.items() if override.type is not None
        },
        methods={column: override.method for column, override in model.columns.overrides.items()},
        segment_by=model.segments.by,
        max_segments=model.segments.max_values,
        size=micros(model.window.size),
        every=micros(model.window.every),
        task=model.task,
        positive_label=model.positive_label,
        k=model.k,
    )


def last_part(path: str) -> str:
    """The last part of a dotted path.

    >>> last_part("features.dep_delay")
    'dep_delay'
    """
    return path.rpartition(".")[2]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
