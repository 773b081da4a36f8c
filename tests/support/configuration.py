"""A configuration as tests need it: right in every part, or an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from daemon.config.errors import ConfigurationError
from daemon.config.load import load_leniently
from daemon.config.settings import Settings


def load(path: Path, *, environ: Mapping[str, str], secrets: bool = True) -> Settings:
    """The settings in a file or folder; raises ConfigurationError with everything that is wrong."""
    loaded = load_leniently(path, environ=environ, secrets=secrets)
    if any(problem.severity == "error" for problem in loaded.problems):
        raise ConfigurationError(loaded.problems)
    return loaded.settings
