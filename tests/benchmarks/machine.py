"""Facts of the machine that a figure was measured on, and of the programs; nothing that names the machine."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("driftd", "evidently", "kafka-python", "numpy", "pandas", "scipy", "msgspec", "sqlalchemy")


def facts() -> dict[str, Any]:
    """Processor, cores, memory, system, Python and the versions of the packages that do the work."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def peer(package: str) -> str:
    """A package with its version, as a figure names its peer."""
    return f"{package} {version(package)}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (named := re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE)):
        return named[1].strip()
    return platform.processor() or platform.machine()
