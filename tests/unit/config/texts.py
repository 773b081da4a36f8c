"""Texts that the tests of the configuration begin with, and how they read problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from daemon.config.errors import Problem

BEGINNING = """\
installation: test
kafka: {bootstrap_servers: kafka:9092}
slack: {bot_token: xoxb-test}
"""
MODEL = """\
models:
  m:
    predictions: {topic: t}
    reference: {uri: r.parquet}
    channel: "#c"
"""

Problems = Callable[..., list[Problem]]


def told(problems: Iterable[Problem]) -> list[str]:
    """Problems as people read them, without the file's name."""
    return [str(problem).removeprefix(problem.file + ":").strip() for problem in problems]
