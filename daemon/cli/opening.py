"""Opening what a verb works on: the configuration, and the store for reading."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.cli.errors import Misconfigured, StoreIsHeld, Unreachable, UsageError
from daemon.cli.output import complain

if TYPE_CHECKING:
    from daemon.config.settings import Settings
    from daemon.store import Store
    from daemon.stream.consumer import Cluster


def load_settings(path: Path) -> Settings:
    """The settings in `path`, without secrets, for a verb that reads what a daemon has written.

    As in the daemon a bad model is left out, which is said on stderr; raises Misconfigured with every problem, one a
    line, when something else is wrong or no model is left.
    """
    from daemon.config.errors import ConfigurationError
    from daemon.config.load import load_leniently

    try:
        loaded = load_leniently(path, environ=os.environ, secrets=False)
    except ConfigurationError as error:
        raise Misconfigured(problem_lines(path, error)) from error
    bad = dict.fromkeys(str(problem.model) for problem in loaded.problems if problem.severity == "error")
    for name in bad:
        complain(f"driftd: the configuration of {name} is wrong, `driftd check` says why")
    return loaded.settings


def problem_lines(path: Path, error: Exception) -> str:
    """A sentence that counts the problems, then each on a line of its own."""
    problems = str(error).splitlines()
    counted = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([f"the configuration {path} has {counted}:", *problems])


def open_for_reading(settings: Settings) -> Store:
    """The store beside whatever daemon writes to it."""
    return open_store(settings.store.path, writer=False)


def open_store(path: Path, *, writer: bool, holder: str = "") -> Store:
    """The store at `path`, with its errors as a verb's own."""
    from daemon.store import Store, StoreError, StoreHeld, StoreMissing

    try:
        return Store.open(path, writer=writer, holder=holder)
    except StoreHeld as error:
        raise StoreIsHeld(str(error)) from error
    except StoreMissing as error:
        raise Unreachable(f"there is no store at {path} yet: `driftd run` makes it") from error
    except StoreError as error:
        raise Unreachable(str(error)) from error


def known_model(settings: Settings, name: str) -> str:
    """`name`, when the configuration has such a model."""
    if name not in settings.models:
        import difflib

        near = difflib.get_close_matches(name, settings.models, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(settings.models)}"
        raise UsageError(f"the configuration has no model {name!r}{hint}")
    return name


def ask_kafka(settings: Settings) -> Cluster:
    """The cluster, with the topics of every model that are there; raises Unreachable when no broker answers."""
    from contextlib import closing

    from daemon.stream.consumer import Consumer
    from daemon.stream.errors import KafkaUnreachable

    topics = {topic for model in settings.models.values() for topic in model.predictions.topic}
    topics |= {topic for model in settings.models.values() if model.labels for topic in model.labels.topic}
    try:
        with closing(Consumer(settings.kafka, client_id="driftd-check", max_poll_records=1)) as consumer:
            return consumer.describe(topics)
    except KafkaUnreachable as error:
        raise Unreachable(str(error)) from error
