"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import daemon
import detectors

MODULES = sorted(
    module.name
    for package in (daemon, detectors)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    # The first runs the command when it is imported, the others run migrations.
    if not module.name.endswith("__main__") and not module.name.startswith("daemon.store.migrations.")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
