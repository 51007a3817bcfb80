"""Further processes of the same command, which share a comparison's work while this one does its own part."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dsrna.config.command_line import quoted
from dsrna.config.compose import key_of
from dsrna.runs.request import Request

log = logging.getLogger("dsrna")

_THEIR_OWN = ("processes", "rehearsal", "resume", "hydra.run.dir")


@contextmanager
def helped(request: Request[Any], count: int) -> Iterator[None]:
    """Inside, so many others are at work in the comparison's folder; what they print is in ``helpers/``.

    They are told to stop where the block is left: when all work is done, or by an error or a signal, which leaves what
    they were doing to be gone on with.
    """
    if count < 1:
        yield
        return
    kept = [override for override in request.overrides if key_of(override) not in _THEIR_OWN]
    own = ["processes=1", "rehearsal=never", f"hydra.run.dir={quoted(str(request.folder.absolute()))}"]
    words = [sys.executable, "-m", *request.module, *request.config_folders, *kept, *own]
    folder = request.folder / "helpers"
    folder.mkdir(parents=True, exist_ok=True)
    log.info("%d more process%s at work: %s", count, "" if count == 1 else "es", folder)
    started = []
    try:
        for number in range(1, count + 1):
            with (folder / f"{number}.log").open("ab") as printed:
                started.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed))
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
