"""Imports point one way: cli -> (stream, schedule, deliver, web) -> (store, incidents) -> config, and to detectors."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.kafka.local import CHECKOUT

OWN = frozenset({"daemon", "detectors", "deploy", "tests"})

# What each room of `daemon` may import of our own, beside itself and the modules that lie in `daemon` directly.
BELOW: Mapping[str, frozenset[str]] = {
    "config": frozenset(),
    "store": frozenset({"config"}),
    "incidents": frozenset({"config"}),
    "deliver": frozenset({"store", "incidents", "config"}),
    "web": frozenset({"store", "incidents", "config"}),
    "stream": frozenset({"store", "incidents", "config", "detectors"}),
    "schedule": frozenset({"store", "incidents", "config", "detectors"}),
    "cli": frozenset({"stream", "schedule", "deliver", "web", "store", "incidents", "config", "detectors", "deploy"}),
}
# Words, not statistics: what a finding says and how an instant is counted. Every room speaks them, and they cannot live
# in `daemon`, because `detectors` speaks them too. They import nothing but the standard library and one another.
WORDS = frozenset({"detectors.findings", "detectors.instants"})
SQL = frozenset({"sqlalchemy", "alembic", "sqlite3", "psycopg"})
NOT_IN_DETECTORS = SQL | {"kafka", "slack_sdk", "time"} | (OWN - {"detectors"})
CLOCK = frozenset({"now", "utcnow", "today"})


@dataclass(frozen=True)
class Import:
    """One imported module, by its full dotted name. `from daemon import store` is `daemon.store`."""

    line: int
    module: str


def imports(path: Path, package: str) -> Iterator[Import]:
    """Every import in a file, wherever it stands: in a function and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(node.lineno, name.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            for name in node.names:
                yield Import(node.lineno, f"{base}.{name.name}")


def violations(root: Path) -> list[str]:
    """Every import and every look at a clock in `daemon` and `detectors` that the design does not allow."""
    return sorted([*_in_daemon(root), *_in_detectors(root)])


def _in_daemon(root: Path) -> Iterator[str]:
    rooms = {path.name for path in (root / "daemon").iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    for stranger in sorted(rooms - set(BELOW)):
        yield f"daemon/{stranger}: not a room of the design"
    for path, parts in _modules(root, "daemon"):
        room = parts[1] if path.parent != root / "daemon" else ""
        if room and room not in BELOW:
            continue
        allowed = {"cli"} if parts[1:] == ["__main__"] else {room, *BELOW.get(room, ())}
        for found in imports(path, _package(path, parts)):
            top, *rest = found.module.split(".")
            where = f"{path.relative_to(root)}:{found.line}"
            if top in SQL and room != "store":
                yield f"{where}: {room or 'daemon'} must not import {top}; SQL stands in store"
            elif top == "daemon":
                target = rest[0] if rest and rest[0] in rooms else ""
                if target and target not in allowed:
                    yield f"{where}: {room or 'daemon'} must not import {target}"
            elif top in OWN and top not in allowed and not _is_word(found):
                yield f"{where}: {room or 'daemon'} must not import {top}"


def _in_detectors(root: Path) -> Iterator[str]:
    for path, parts in _modules(root, "detectors"):
        where = path.relative_to(root)
        for found in imports(path, _package(path, parts)):
            top = found.module.split(".")[0]
            if top in NOT_IN_DETECTORS:
                yield f"{where}:{found.line}: detectors must not import {top}"
            elif ".".join(parts) in WORDS and top not in sys.stdlib_module_names and not _is_word(found):
                yield f"{where}:{found.line}: {'.'.join(parts)} is for every room and must not import {top}"
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Attribute) and node.attr in CLOCK:
                yield f"{where}:{node.lineno}: detectors must not look at a clock (.{node.attr})"


def _is_word(found: Import) -> bool:
    return any(found.module == word or found.module.startswith(f"{word}.") for word in WORDS)


def _modules(root: Path, package: str) -> Iterator[tuple[Path, list[str]]]:
    for path in sorted((root / package).rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        yield path, parts[:-1] if parts[-1] == "__init__" else parts


def _package(path: Path, parts: list[str]) -> str:
    return ".".join(parts if path.name == "__init__.py" else parts[:-1])


def test_imports_point_one_way() -> None:
    assert violations(CHECKOUT) == []


def made_up(root: Path, files: Mapping[str, str]) -> Path:
    """A small tree in which only the given files are not empty."""
    for name in ["daemon/__init__.py", "daemon/config/__init__.py", "daemon/store/__init__.py", *files]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "detectors").mkdir(exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("daemon/config/a.py", "import daemon.store.tables", "1: config must not import store"),
        ("daemon/config/a.py", "from daemon import store", "1: config must not import store"),
        ("daemon/config/a.py", "from .. import store", "1: config must not import store"),
        ("daemon/config/a.py", "from ..store import b", "1: config must not import store"),
        ("daemon/config/__init__.py", "from ..store import b", "1: config must not import store"),
        ("daemon/store/a.py", "def f():\n    import detectors", "2: store must not import detectors"),
        ("daemon/store/a.py", "import tests.unit", "1: store must not import tests"),
        ("daemon/web/a.py", "import detectors.drift", "1: web must not import detectors"),
        ("daemon/web/a.py", "from detectors import findings, drift", "1: web must not import detectors"),
        ("detectors/findings.py", "import numpy", "1: detectors.findings is for every room and must not import numpy"),
        ("daemon/web/a.py", "import sqlalchemy as sa", "1: web must not import sqlalchemy; SQL stands in store"),
        ("daemon/clock.py", "import daemon.store", "1: daemon must not import store"),
        ("daemon/clock.py", "from deploy.kafka import local", "1: daemon must not import deploy"),
        ("detectors/a.py", "from kafka import KafkaConsumer", "1: detectors must not import kafka"),
        ("detectors/a.py", "import sqlalchemy.orm", "1: detectors must not import sqlalchemy"),
        ("detectors/a.py", "from slack_sdk import WebClient", "1: detectors must not import slack_sdk"),
        ("detectors/a.py", "from daemon.config import x", "1: detectors must not import daemon"),
        ("detectors/a.py", "from time import monotonic", "1: detectors must not import time"),
        ("detectors/a.py", "import datetime as d\nd.datetime.now()", "2: detectors must not look at a clock (.now)"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    assert violations(made_up(tmp_path, {file: text})) == [f"{file}:{complaint}"]


def test_a_room_that_the_design_does_not_know_is_found(tmp_path: Path) -> None:
    assert violations(made_up(tmp_path, {"daemon/helpers/a.py": ""})) == ["daemon/helpers: not a room of the design"]


def test_what_the_design_allows_is_no_violation(tmp_path: Path) -> None:
    tree = {
        "daemon/__main__.py": "from daemon.cli import main",
        "daemon/clock.py": "import time",
        "daemon/store/a.py": "import sqlalchemy\nfrom daemon import clock, __version__\nfrom ..config import b",
        "daemon/store/b.py": "from . import a\nfrom .a import c",
        "daemon/stream/a.py": "from daemon.store import a\nfrom detectors import profile",
        "daemon/cli/a.py": "from daemon.stream import a\nimport deploy.kafka.local\nimport detectors",
        "daemon/web/a.py": "from detectors.findings import Signal\nfrom detectors import instants",
        "detectors/findings.py": "import enum\nfrom detectors.instants import Micros",
        "detectors/a.py": "import numpy as np\nfrom detectors.b import c\nfrom . import d",
    }
    assert violations(made_up(tmp_path, tree)) == []
