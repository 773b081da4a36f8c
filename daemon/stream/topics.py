"""Topics that cannot be read now: a sentence for each, and how long a run that ends by itself waits for them."""

from __future__ import annotations

import time
from collections.abc import Collection

from daemon.stream.consumer import Cluster
from daemon.stream.errors import TopicsMissing
from daemon.stream.notes import TOPICS, Notes


class AbsentTopics:
    """Waits for topics; `patience` in seconds is for a run that ends by itself, a service waits for ever."""

    def __init__(self, wanted: Collection[str], notes: Notes, patience: float) -> None:
        self._wanted = frozenset(wanted)
        self._notes = notes
        self._patience = patience
        self._absent: dict[str, str] = {}
        self._since: float | None = None

    def look(self, cluster: Cluster) -> bool:
        """Note what is absent; whether anything is."""
        missing = dict.fromkeys(sorted(self._wanted - cluster.topics.keys()), "does not exist yet")
        unsettled = dict.fromkeys(cluster.unsettled, "has no leader yet")
        forbidden = dict.fromkeys(cluster.forbidden, "may not be read by driftd (check its ACLs)")
        self._absent = missing | unsettled | forbidden
        self._notes.say_all(
            TOPICS, {name: f"The topic {name} {what}: it is waited for." for name, what in self._absent.items()}
        )
        if not self._absent:
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()
        return bool(self._absent)

    def wait(self) -> None:
        """Go on waiting.

        Raises:
            TopicsMissing: it has been long enough.
        """
        waited = 0.0 if self._since is None else time.monotonic() - self._since
        if waited >= self._patience:
            named = "; ".join(f"{name} {what}" for name, what in self._absent.items())
            raise TopicsMissing(
                f"the run ends: after {waited:.0f} s it still waits for its topics ({named}); make them, or correct "
                "`topic` in the configuration"
            )
