"""How the C library treats memory that is freed."""

from __future__ import annotations

import ctypes
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MOST = 32 << 20
"""The largest threshold that glibc takes."""


@cache
def keep_freed_memory() -> None:
    """Tells glibc not to give freed maps back: every step would fault their pages in anew. Elsewhere, nothing."""
    try:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    except (OSError, TypeError):  # Windows has no library of the whole process
        return
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MOST)
        mallopt(_M_TRIM_THRESHOLD, -1)  # never
