"""A URL that gets each incident's changes as JSON."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Any

import msgspec

from daemon import crashpoints
from daemon.config.settings import Receiver as ReceiverSettings
from daemon.config.settings import Settings, WebhookReceiver
from daemon.deliver.receiver import SECOND, Busy, Delivery, Refused, Unanswered, receiver
from daemon.deliver.sentences import recovered, story
from daemon.deliver.view import IncidentView
from daemon.incidents.cause import Cause
from daemon.incidents.incident import State
from daemon.incidents.lines import Line
from detectors.instants import Micros, micros, rfc3339


def document(view: IncidentView, change: str, idempotency_key: str) -> dict[str, Any]:
    """The body: an incident as it stands when it is sent, and the change that caused the sending."""
    incident = view.incident
    if incident.state is State.RESOLVED:
        title, text = recovered(incident, view.zone)
    else:
        told = story(incident, view.zone, view.labels_within)
        title, text = told.title, ". ".join(filter(None, (*told.changed, told.cause, told.before))) + "."
    return {
        "type": "driftd.incident",
        "idempotency_key": idempotency_key,
        "installation": view.installation,
        "change": change,
        "id": incident.id,
        "revision": incident.revision,
        "model": incident.model,
        "family": incident.family.value,
        "state": incident.state.value,
        "severity": incident.severity.value,
        "since": rfc3339(incident.since),
        "opened_at": rfc3339(incident.opened_at),
        "updated_at": rfc3339(incident.updated_at),
        "resolved_at": None if incident.resolved_at is None else rfc3339(incident.resolved_at),
        "title": f"{incident.model}: {title}",
        "text": text,
        "where": incident.where or None,
        "causes": [_cause(cause) for cause in incident.causes or ()],
        "lines": [_line(line) for line in incident.lines],
        "timeline": [{"at": rfc3339(entry.at), "text": entry.text} for entry in incident.timeline],
    }


def _line(line: Line) -> dict[str, Any]:
    key, facts = line.key, line.facts
    return {
        "signal": key.signal.value,
        "column": key.column,
        "metric": key.metric,
        "segment": dict(key.segment) or None,
        "version": key.version,
        "state": "recovered" if line.phase == "quiet" else line.phase.value,
        "value": facts.value,
        "threshold": facts.threshold,
        "noise_floor": facts.noise_floor,
        "usual": facts.usual,
        "current": facts.current,
        "driver": facts.driver,
        "rows": facts.rows,
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "kind": cause.kind.value,
        "text": cause.text,
        "column": cause.column,
        "at": None if cause.at is None else rfc3339(cause.at),
        "score": cause.score,
        "reason": cause.reason,
    }


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without a body: rather say that the address has moved."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Webhook:
    """One URL. Any 2xx answer counts as accepted; the key in the header lets the other side drop a repetition."""

    interval: Micros = 0

    def __init__(self, name: str, settings: WebhookReceiver) -> None:
        self.service = self.place = f"webhook:{name}"
        self._timeout = micros(settings.timeout) / SECOND
        self._name = name
        self._url = settings.url.get_secret_value()
        self._opener = urllib.request.build_opener(_NoRedirect)

    def mention(self) -> str | None:
        return None

    def deliver(self, delivery: Delivery) -> None:
        row = delivery.row
        told = delivery.receipts.get("webhook")
        if told is not None and told.revision >= delivery.view.incident.revision:
            return  # A row before this one was sent late and told all of it.
        if not self._url.lower().startswith(("http://", "https://")):
            raise Refused(f"{self._name} has an address that is not http or https.")
        request = urllib.request.Request(
            self._url,
            data=msgspec.json.encode(document(delivery.view, row.kind, row.idempotency_key)),
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": row.idempotency_key,
                "User-Agent": "driftd",
            },
            method="POST",
        )
        crashpoints.reach("outbox.before_send")
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                answer.read(1024)
        except urllib.error.HTTPError as error:
            with error:
                raise self._judged(error.code, error.headers.get("Retry-After")) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unanswered(f"{self._name} does not answer: {_without_address(error)}.") from None
        crashpoints.reach("outbox.after_send")
        delivery.save("webhook", self._name, row.idempotency_key, delivery.view.incident.revision)
        crashpoints.reach("outbox.after_receipt")

    def _judged(self, status: int, retry_after: str | None) -> Busy | Refused | Unanswered:
        if status in (408, 425, 429, 503):
            after = int(retry_after) * SECOND if retry_after and retry_after.isdigit() else None
            return Busy(f"{self._name} asks to come later (status {status}).", after=after)
        if status >= 500:
            return Unanswered(f"{self._name} has trouble (status {status}).")
        return Refused(f"{self._name} refuses (status {status}): check its address and what it expects.")


def _without_address(error: Exception) -> str:
    """The error in words; the URL stays out, it may hold a secret."""
    reason = getattr(error, "reason", None)
    return str(reason) if reason else type(error).__name__


@receiver("webhook")
def make(name: str, settings: ReceiverSettings, _all: Settings) -> Webhook:
    """The URL of a named receiver."""
    assert isinstance(settings, WebhookReceiver), name
    return Webhook(name, settings)
