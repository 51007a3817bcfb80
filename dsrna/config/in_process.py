"""One job run by a Python program: no command line, no exit, and nothing of Hydra's stays behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from omegaconf import DictConfig

from dsrna.config.choice import choose_folder
from dsrna.config.compose import compose_with_hydra
from dsrna.config.replay import replay
from dsrna.config.request import Request, given_folder, request_of, resume_command
from dsrna.config.settings import RunSettings
from dsrna.interruption import Interrupted, StopSignals
from dsrna.run_lock import held

S = TypeVar("S", bound=RunSettings)


def run_in_process(
    kind: str, read: Callable[[DictConfig], S], run: Callable[[Request[S]], object], overrides: list[str]
) -> Path:
    """Checks a job and runs it.

    Args:
        kind: the entry point and the name of its primary config.
        read: composed config -> validated settings.
        run: does the job.
        overrides: as on the command line of the entry point, for one job.

    Returns:
        Its run folder.

    Raises:
        DsrnaError: with a message for the user; the run folder keeps what was done.
        KeyboardInterrupt: the state is saved; ``resume=auto`` goes on.
    """
    all_overrides = replay(kind, overrides)
    config, of_hydra = compose_with_hydra(kind, all_overrides)
    settings = read(config)
    folder = given_folder("hydra.run.dir", all_overrides) or choose_folder([settings], [all_overrides], multirun=False)
    again = resume_command(kind, overrides, multirun=False)
    try:
        with StopSignals(at_once=True), held(folder):
            run(request_of(kind, settings, config, of_hydra, folder, again))
    except Interrupted:
        raise KeyboardInterrupt from None
    finally:
        with suppress(OSError):  # only an empty folder goes: nothing was done in it
            folder.rmdir()
    return folder
