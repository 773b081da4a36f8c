"""The allocator of a process with many threads."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

ARENAS = """
import ctypes, os, sys, threading
from daemon.cli import allocator

allocator.restrain(dict(pair.split("=") for pair in sys.argv[1:]))
ready = threading.Barrier(5)

def hold():
    block = bytearray(100_000)
    ready.wait()
    ready.wait()
    del block

threads = [threading.Thread(target=hold) for _ in range(4)]
[thread.start() for thread in threads]
ready.wait()
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
library.malloc_info(0, ctypes.c_void_p(out := library.fdopen(1, b"w")))
library.fflush(ctypes.c_void_p(out))
ready.wait()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="only glibc has arenas")
@pytest.mark.parametrize(("set_already", "few"), [([], True), (["MALLOC_ARENA_MAX=8"], False)])
def test_threads_share_one_arena_unless_somebody_knows_better(set_already: list[str], few: bool) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", ARENAS, *set_already], capture_output=True, env=environ, check=True)
    assert (done.stdout.count(b"<heap nr=") == 1) is few
