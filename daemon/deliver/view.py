"""What a message is made from: an incident as it stands, and what the settings say about its model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo

from daemon.config.settings import Settings
from daemon.incidents.incident import Incident
from detectors.instants import Micros, micros


@dataclass(frozen=True, slots=True)
class IncidentView:
    """`mention` is a Slack user, user group or `here`; `runbook` a link; times are shown in `zone`.

    `labels_within` is how long a prediction's label is waited for, None where none is read.
    """

    incident: Incident
    installation: str
    mention: str | None = None
    runbook: str | None = None
    zone: tzinfo = UTC
    labels_within: Micros | None = None

    @classmethod
    def of(cls, incident: Incident, settings: Settings, mention: str | None = None) -> IncidentView:
        """The view for the model's own channel, or for a receiver with a mention of its own."""
        model = settings.models.get(incident.model)
        own = model.mention if model is not None else None
        return cls(
            incident=incident,
            installation=settings.installation,
            mention=mention if mention is not None else own,
            runbook=model.runbook if model is not None else None,
            labels_within=micros(model.labels.maturity.at_most) if model is not None and model.labels else None,
        )
