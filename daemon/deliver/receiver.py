"""What a receiver is, what it is given to deliver, and how it says that it could not."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from daemon.config.settings import Receiver as ReceiverSettings
from daemon.config.settings import Settings
from daemon.deliver.view import IncidentView
from daemon.store.outbox import Claimed, Receipt
from detectors.instants import SECOND, Micros


class DeliveryError(Exception):
    """Base of what can go wrong with one delivery; the row stays in the outbox whatever it is.

    DeliveryError
    ├── Unanswered    nobody knows whether it arrived: time-out, broken connection, an answer that makes no sense
    ├── Busy          it was turned away and may come again, after the time that it was told
    └── Refused       a person has to act first: a revoked token, a channel that is gone

    `reason` is a sentence for `driftd status`, `after` the time that the other side asked for, `code` its own word.
    `service` says that the trouble is not this one address's alone.
    """

    def __init__(self, reason: str, *, after: Micros | None = None, service: bool = False, code: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after
        self.service = service
        self.code = code


class Unanswered(DeliveryError):
    """Nobody knows whether it arrived."""


class Busy(DeliveryError):
    """It was turned away and may come again."""


class Refused(DeliveryError):
    """A person has to act before it can be delivered; it is tried again all the same, slowly."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One claimed row with what is needed to deliver it.

    `receipts` say, by part, what has arrived in this lane. `save(part, channel, ts, revision)` records another part at
    once, so that a death between two parts repeats none. `pace()` waits until the address may be posted to again.
    """

    row: Claimed
    view: IncidentView
    receipts: Mapping[str, Receipt]
    save: Callable[[str, str, str, int], Receipt]
    pace: Callable[[], None]

    @property
    def doubtful(self) -> bool:
        """Whether an earlier attempt may have arrived without leaving a receipt."""
        return self.row.attempts > 1


class Receiver(Protocol):
    """One address. `service` names what several addresses share, such as Slack.

    `interval` lies between two posts to one `place`, which two addresses may share too.
    """

    service: str
    place: str
    interval: Micros

    def deliver(self, delivery: Delivery) -> None:
        """Deliver the row; returns once all of it has arrived, else raises a DeliveryError."""

    def mention(self) -> str | None:
        """Whom to mention instead of those whom the model names."""


Maker = Callable[[str, ReceiverSettings, Settings], Receiver]
_makers: dict[str, Maker] = {}


def receiver(kind: str) -> Callable[[Maker], Maker]:
    """Register the function below as the maker of receivers of a `type`."""

    def add(maker: Maker) -> Maker:
        if kind in _makers:
            raise ValueError(f"receiver type {kind!r} is registered twice")
        _makers[kind] = maker
        return maker

    return add


def types() -> tuple[str, ...]:
    """Every registered type of receiver."""
    package = importlib.import_module("daemon.deliver.receivers")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(sorted(_makers))


def make(name: str, settings: ReceiverSettings, all_settings: Settings) -> Receiver:
    """The receiver that the settings describe."""
    assert settings.type in types()
    return _makers[settings.type](name, settings, all_settings)


__all__ = ["SECOND", "Busy", "Delivery", "DeliveryError", "Receiver", "Refused", "Unanswered", "make", "receiver"]
