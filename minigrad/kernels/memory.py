"""Keep freed memory for the next step.

By default glibc hands what backward frees back to the system, and the next step gets it again page by page, zeroed:
2,400 page faults a step of the MNIST CNN, a third of its time and more.
"""

from __future__ import annotations

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt, in malloc.h
KEPT = 512 << 20  # bytes that may lie free at the end of the heap
MAPPED = 64 << 20, 32 << 20  # arrays from this size on are given back nevertheless; older glibc takes 32 MiB at most
CHOSEN_BY_THE_USER = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"


def keep() -> bool:
    """Ask the allocator to, and return whether it does: not where the environment says how it shall be."""
    if any(name in os.environ for name in CHOSEN_BY_THE_USER):
        return False
    try:
        c = ctypes.CDLL(None)
        mallopt, _ = c.mallopt, c.gnu_get_libc_version
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(TRIM_THRESHOLD, KEPT)) and any(mallopt(MMAP_THRESHOLD, size) for size in MAPPED)
