"""A flow is one model's predictions, or its labels: which messages are its own, and what is fetched from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from daemon.config.settings import Model
from daemon.config.windows import allowed_lateness, micros
from daemon.store.collecting import Barrier
from daemon.stream.collection import Closing
from daemon.stream.event_time import Lateness
from daemon.stream.formats import Decoder, formats
from daemon.stream.mapping import Path, Plan, field_conditions, header_conditions, label_plan, prediction_plan
from daemon.stream.spec import Spec
from detectors.instants import Micros

Role = Literal["predictions", "labels"]
Start = Literal["latest", "earliest"] | timedelta


@dataclass(frozen=True, slots=True)
class ActiveSpec:
    """A spec and the pane from which on it is used; `version` None is every version without one of its own."""

    version: str | None
    from_pane: Micros
    spec: Spec


@dataclass(slots=True, eq=False)
class Flow:
    """One model's predictions or labels. `decoder` is None while the model waits for its spec.

    While the model's reference is collected, reading stops in each partition at the first row that is no earlier than
    `barrier`, and `closing` says which rows come too late to be part of it.
    """

    model: str
    role: Role
    settings: Model
    topics: tuple[str, ...]
    format: str
    where: Mapping[str, str]
    start: Start
    unit: str
    specs: tuple[ActiveSpec, ...] = ()
    plan: Plan | None = None
    decoder: Decoder | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    needles: tuple[bytes, ...] = ()
    address: tuple[Path, str] | None = None
    lateness: Lateness | None = None
    closing: Closing | None = None
    barrier: Micros | None = None
    by_version: dict[str | None, list[ActiveSpec]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, Role]:
        """What the flow's positions are kept under."""
        return self.model, self.role

    @property
    def active(self) -> bool:
        """Whether its messages can be counted."""
        return self.decoder is not None

    @property
    def keeps_predictions(self) -> bool:
        """Whether predictions wait for labels."""
        return self.role == "predictions" and self.settings.labels is not None

    @property
    def group(self) -> tuple[int, tuple[tuple[str, bytes], ...]]:
        """Flows of one group get the same rows from the same messages, so that these are decoded once."""
        return id(self.decoder), self.headers

    @property
    def watermark_delay(self) -> Micros:
        """How far its rows may be out of order."""
        return micros(self.settings.window.watermark_delay)

    def specs_for(self, version: str) -> list[ActiveSpec]:
        """The specs of one version, oldest first: its own, else the model's."""
        return self.by_version.get(version) or self.by_version.get(None) or [*self.specs]

    def late(self, event_time: NDArray[np.int64], highest: Micros | None) -> NDArray[np.bool_]:
        """Which rows are too late, given the highest event time read in their partition before the first of them."""
        assert self.lateness is not None
        late = self.lateness.late(event_time, highest)
        return late if self.closing is None else late | self.closing.late(event_time, highest)

    def stop_at(self, barrier: Barrier | None) -> None:
        """Read as far as a reference that is collected can have reached; None: as far as there is something.

        Labels may come as long after their predictions as they are waited for.
        """
        labels = self.settings.labels
        if barrier is None or self.role == "predictions":
            self.barrier = None if barrier is None else barrier.predictions
        elif barrier.labels is not None and labels is not None:
            self.barrier = barrier.labels + micros(labels.maturity.at_most)
        else:
            self.barrier = None

    def is_mine(self, record: Any) -> bool:
        """Whether a record can be this model's, before it is decoded: cheap, and wrong only by letting others pass."""
        value = record.value
        if value is None:
            return False
        # A producer may write any character as \\uXXXX, so a message with a backslash is looked at as a whole.
        if any(needle not in value for needle in self.needles) and b"\\" not in value:
            return False
        return all(any(key == name and text == found for key, found in record.headers) for name, text in self.headers)


def flows_of(models: Mapping[str, Model]) -> list[Flow]:
    """The flows of every model, none of them active yet."""
    flows: list[Flow] = []
    for name, model in models.items():
        sources: list[tuple[Role, Any]] = [("predictions", model.predictions)]
        if model.labels is not None:
            sources.append(("labels", model.labels))
        for role, source in sources:
            flow = Flow(
                model=name,
                role=role,
                settings=model,
                topics=tuple(dict.fromkeys(source.topic)),
                format=source.format,
                where=dict(source.where),
                start=source.start,
                unit=source.timestamp_unit,
                headers=header_conditions(source.where),
            )
            fields = [(path, text) for path, text in field_conditions(source.where) if not _is_number(text)]
            flow.needles = tuple(text.encode() for _, text in fields)
            flow.address = fields[0] if fields and source.format == "json" else None
            flows.append(flow)
    return flows


def _is_number(text: str) -> bool:
    """Numbers are written in many ways (7, 7.0, 70e-1), so their text is no sign of their absence."""
    try:
        float(text)
    except ValueError:
        return False
    return True


class Decoders:
    """Decoders by (format, plan): models that fetch the same from the same messages share one."""

    def __init__(self) -> None:
        self._makers: Mapping[str, Callable[[Plan], Decoder]] = formats()
        self._made: dict[tuple[str, Plan], Decoder] = {}

    def put_in_force(self, flow: Flow, specs: Sequence[ActiveSpec]) -> None:
        """Let a flow count by these specs, oldest first; without any it waits.

        Raises:
            MappingError: the configured fields do not lead to what a spec needs.
        """
        flow.specs = tuple(specs)
        flow.by_version = {}
        for active in specs:
            flow.by_version.setdefault(active.version, []).append(active)
        if not specs:
            flow.plan = flow.decoder = None
            return
        if flow.settings.labels is not None and flow.role == "labels":
            flow.plan = label_plan(flow.settings.labels)
        else:
            fields = specs[-1].spec.fields
            flow.unit = fields.timestamp_unit
            flow.plan = prediction_plan(flow.settings, fields, [active.spec.layout for active in specs])
        collected = [active for active in specs if active.spec.collects]
        judged_from = min((active.from_pane for active in specs if not active.spec.collects), default=None)
        flow.closing = Closing.of(flow.settings, judged_from) if collected else None
        window = flow.settings.window
        flow.lateness = Lateness(
            pane=specs[-1].spec.pane,
            size=micros(window.size),
            watermark_delay=micros(window.watermark_delay),
            allowed_lateness=allowed_lateness(window),
        )
        made = self._made.get((flow.format, flow.plan))
        if made is None:
            made = self._made[flow.format, flow.plan] = self._makers[flow.format](flow.plan)
        flow.decoder = made
