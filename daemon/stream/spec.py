"""The spec: what decides how a model's rows become partials."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Protocol

import msgspec

from daemon.config.settings import Model
from daemon.config.windows import pane_length
from daemon.stream.errors import CorruptSpec
from detectors.errors import CorruptBlob
from detectors.instants import Micros
from detectors.layout import Layout

_VERSION = 1


class Built(Protocol):
    """What a spec needs to know of a reference."""

    @property
    def hash(self) -> str: ...

    @property
    def layout(self) -> bytes: ...

    @property
    def layout_hash(self) -> str: ...


class Fields(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a prediction message holds what, as dotted paths; `lists` says that the prediction is a list of items.

    A field that came later has a default and is left out where it has that: the specs that are stored keep their hash.
    """

    id: str
    timestamp: str | None
    timestamp_unit: str
    version: str | None
    prediction: str | None
    score: str | None
    features: tuple[str, ...]
    item: str | None
    scores: str | None = None
    lists: bool = False


class _Stored(msgspec.Struct):
    model: str
    fields: Fields
    layout: bytes
    layout_hash: str
    reference_hash: str
    pane: int


@dataclass(frozen=True, eq=False)
class Spec:
    """Field mapping, layout (with its segments), reference and pane length of one model.

    Its hash is part of a partial's key: rows that became partials by different specs are never merged.
    """

    model: str
    fields: Fields
    layout: Layout
    layout_hash: str
    reference_hash: str
    pane: Micros

    @property
    def collects(self) -> bool:
        """Whether there is no reference yet, so that rows are only counted, and the lowest kept for one."""
        return not self.layout.columns

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything that decides what a row becomes, as hexadecimal digits."""
        parts = [self.model, self.fields, self.layout_hash, self.reference_hash, self.pane]
        return sha256(msgspec.json.encode(parts)).hexdigest()

    def to_bytes(self) -> bytes:
        """The spec as a versioned blob."""
        stored = _Stored(
            self.model, self.fields, self.layout.to_bytes(), self.layout_hash, self.reference_hash, self.pane
        )
        return bytes([_VERSION]) + msgspec.msgpack.encode(stored)

    @classmethod
    def from_bytes(cls, data: bytes) -> Spec:
        """The spec that `to_bytes` wrote.

        Raises:
            CorruptSpec: these bytes are none, or a newer program's.
        """
        if data[:1] != bytes([_VERSION]):
            raise CorruptSpec("A stored spec is of a version that this program does not read; upgrade driftd.")
        try:
            stored = msgspec.msgpack.decode(data[1:], type=_Stored)
            layout = Layout.from_bytes(stored.layout)
        except (msgspec.DecodeError, CorruptBlob) as error:
            raise CorruptSpec(f"A stored spec is damaged ({error}); restore the store from a backup.") from error
        return cls(stored.model, stored.fields, layout, stored.layout_hash, stored.reference_hash, stored.pane)


def fields_of(model: Model) -> Fields:
    """Where a model's prediction messages hold what."""
    fields = model.predictions.fields
    features = fields.features
    return Fields(
        id=fields.id,
        timestamp=fields.timestamp,
        timestamp_unit=model.predictions.timestamp_unit,
        version=fields.version,
        prediction=fields.prediction,
        score=fields.score,
        features=(features,) if isinstance(features, str) else tuple(features),
        item=fields.item,
        scores=fields.scores if model.labels is not None else None,
        lists=model.task == "recommendation" and fields.prediction is not None,
    )


def spec_of(name: str, model: Model, built: Built) -> tuple[str, bytes]:
    """The spec of a model over a reference that was built for it, as (hash, bytes)."""
    layout = Layout.from_bytes(built.layout)
    spec = Spec(name, fields_of(model), layout, built.layout_hash, built.hash, pane_length(model.window))
    return spec.hash, spec.to_bytes()
