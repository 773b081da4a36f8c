from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from daemon.config.errors import ConfigurationError, Problem
from daemon.config.load import load_leniently
from tests.unit.config.texts import Problems


@pytest.fixture
def problems_of(tmp_path: Path) -> Problems:
    """Every problem of a configuration, given as text: errors and warnings."""

    def problems_of(text: str, environ: Mapping[str, str] | None = None, *, secrets: bool = True) -> list[Problem]:
        file = tmp_path / "driftd.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            return list(load_leniently(file, environ=environ or {}, secrets=secrets).problems)
        except ConfigurationError as error:
            return list(error.problems)

    return problems_of
