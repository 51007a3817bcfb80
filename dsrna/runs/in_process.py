"""One job run by a Python program: no command line, no exit, and nothing of Hydra's stays behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsrna.interruption import Interrupted
from dsrna.runs.command import Command
from dsrna.runs.one_job import one_job


def run_in_process(command: Command[Any], overrides: list[str]) -> Path:
    """Checks a job and runs it.

    Args:
        command: whose job it is.
        overrides: as on its command line, for one job.

    Returns:
        Its run folder.

    Raises:
        DsrnaError: with a message for the user; the run folder keeps what was done.
        KeyboardInterrupt: the state is saved; ``resume=auto`` goes on.
    """
    job = one_job(command, overrides)
    try:
        job.run()
    except Interrupted:
        raise KeyboardInterrupt from None
    return job.request.folder
