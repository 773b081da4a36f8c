"""Keys and values that are part of the format but do not work yet: each is refused by name, never quietly accepted.

When one starts to work, its line goes; nothing else in this folder changes but the settings class that gains the key.
In a path `*` is a name of the user's own; `defaults` has the keys of `models.*`.
"""

from __future__ import annotations

from daemon import __version__
from daemon.config.tree import KeyPath

KEYS: dict[str, str] = {
    "kafka.schema_registry": "reading schemas from a registry",
    "store.url": "PostgreSQL as the store",
    "store.url_file": "PostgreSQL as the store",
    "http.external_url": "a status page that messages link to",
    "http.write_token": "writing through the API",
    "http.write_token_file": "writing through the API",
    "slack.app_token": "buttons in Slack",
    "slack.app_token_file": "buttons in Slack",
    "heartbeat": "a heartbeat to another service",
    "teams": "teams",
    "routes": "routes",
    "presets": "presets",
    "timezone": "windows by local time",
    "models.*.timezone": "windows by local time",
    "models.*.window.timezone": "windows by local time",
    "models.*.team": "teams",
    "models.*.tier": "tiers",
    "models.*.preset": "presets",
    "models.*.presets": "presets",
    "models.*.digest": "the weekly digest",
    "models.*.alerts.observe_for": "an observation time of a new model",
    "models.*.reference.if_missing": "a reference of each version",
    "models.*.privacy": "rules of privacy",
    "models.*.retraining": "asking for a retraining",
}

VALUES: dict[str, dict[str, str]] = {
    "receivers.*.type": {kind: f"the receiver {kind}" for kind in ("pagerduty", "alertmanager", "email")},
}

PARTS: dict[str, dict[str, str]] = {
    "models.*.reference.uri": {"{version}": "a reference of each version"},
    "models.*.reference.window": {"previous": "a reference that moves on with the traffic"},
}
"""Like VALUES, for a part of the value."""

NOT_AVAILABLE = f"is not available in this version ({__version__})"


def _matches(pattern: str, path: KeyPath) -> bool:
    steps = pattern.split(".")
    if path[:1] == ("defaults",):
        path = ("models", "*", *path[1:])
    return len(steps) == len(path) and all(step in ("*", name) for step, name in zip(steps, path, strict=True))


def refused_key(path: KeyPath) -> str | None:
    """Why a key is refused, or None."""
    return next((f"{what} {NOT_AVAILABLE}" for pattern, what in KEYS.items() if _matches(pattern, path)), None)


def refused_value(path: KeyPath, text: str) -> str | None:
    """Why a value is refused, or None."""
    for pattern, values in VALUES.items():
        if _matches(pattern, path) and text in values:
            return f"{values[text]} {NOT_AVAILABLE}"
    for pattern, parts in PARTS.items():
        for part, what in parts.items():
            if _matches(pattern, path) and part in text:
                return f"{what} {NOT_AVAILABLE}"
    return None
