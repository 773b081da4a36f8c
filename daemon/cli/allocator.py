"""The C library's memory allocator, told to give back what the daemon no longer holds.

glibc gives each thread an arena of its own, which keeps for that thread alone what was freed in it, and takes ever
larger blocks from there once one was freed: with a dozen threads that is a hundred megabytes that nobody uses.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of malloc.h
_ARENAS = 1
_OWN_MAPPING = 1 << 20
"""Blocks from this size on are mapped by themselves and so given back at once; batches of Kafka are smaller."""
_KEPT_ON_TOP = 4 << 20


def restrain(environ: Mapping[str, str]) -> None:
    """Let all threads share one arena; before any of them starts. Does nothing elsewhere than on glibc.

    Whoever has set MALLOC_ARENA_MAX or GLIBC_TUNABLES knows better.
    """
    if "MALLOC_ARENA_MAX" in environ or "GLIBC_TUNABLES" in environ:
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_ARENA_MAX, _ARENAS)
    mallopt(_MMAP_THRESHOLD, _OWN_MAPPING)
    mallopt(_TRIM_THRESHOLD, _KEPT_ON_TOP)
