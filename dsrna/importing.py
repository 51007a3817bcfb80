"""Imports without the garbage collector, in processes that are ours."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """What is imported meanwhile stays, and the collector never looks at it.

    It would go through hundreds of thousands of objects again and again: a third of what a short command takes, of
    which half comes back at its end. What is garbage at the end of the block is kept until then as well, so that little
    else should be done there.
    """
    collecting = gc.isenabled()
    atexit.register(gc.unfreeze)  # a library that counts at the end what nobody freed would complain
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
