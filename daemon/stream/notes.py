"""What intake has to say in `driftd status`: topics and brokers that are waited for, partitions that are not read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from daemon.store import status
from daemon.store.errors import StoreUnavailable
from daemon.store.store import Store
from detectors.instants import Micros

log = logging.getLogger("driftd.stream")

KAFKA = "stream.kafka"
TOPICS = "stream.topic."
PARTITIONS = "stream.partition."


class Notes:
    """Sentences about trouble, by key. Each is logged once, and stays in the store until the trouble is over.

    What the store does not take is said again with the next call: every call tells how things are now.
    """

    def __init__(self, store: Store, clock: Callable[[], Micros]) -> None:
        self._store = store
        self._clock = clock
        self._stored: dict[str, str] | None = None
        self._logged: dict[str, str] = {}

    def say(self, key: str, sentence: str | None) -> None:
        """How it is with one key: a sentence, or None while all is well."""
        self.say_all(key, {} if sentence is None else {"": sentence})

    def say_all(self, under: str, sentences: Mapping[str, str]) -> None:
        """How it is with all keys that begin with `under`, by what follows it; what is not named is well."""
        wanted = {under + key: sentence for key, sentence in sentences.items()}
        for key, sentence in wanted.items():
            if self._logged.get(key) != sentence:
                log.warning("%s", sentence)
        self._logged = {key: said for key, said in self._logged.items() if not key.startswith(under)} | wanted
        try:
            self._write(under, wanted)
        except StoreUnavailable as error:
            log.info("What is in trouble could not be noted: %s", error)

    def _write(self, under: str, wanted: dict[str, str]) -> None:
        if self._stored is None:
            with self._store.read() as conn:
                self._stored = {note.key: note.sentence for note in status.load_notes(conn)}
        known = {key: sentence for key, sentence in self._stored.items() if key.startswith(under)}
        if known == wanted:
            return
        with self._store.write() as conn:
            for key in known.keys() - wanted.keys():
                status.clear_note(conn, key)
            for key, sentence in wanted.items():
                status.set_note(conn, key, sentence, self._clock())
        self._stored = {key: said for key, said in self._stored.items() if not key.startswith(under)} | wanted
