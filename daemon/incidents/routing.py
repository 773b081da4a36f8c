"""Who is told of a model's incidents."""

from __future__ import annotations

from daemon.config.settings import Model, Settings

SLACK_CHANNEL = "slack:"
"""What an address in the outbox begins with when it is a model's own channel and no named receiver."""


def addresses(settings: Settings, model: Model) -> tuple[str, ...]:
    """The outbox addresses of a model's incidents: its own channel first, then its named receivers, each once."""
    own = (SLACK_CHANNEL + model.channel,) if model.channel and settings.slack is not None else ()
    return tuple(dict.fromkeys((*own, *model.receivers)))
