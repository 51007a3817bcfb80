"""One job run by a Python program: no command line, no exit, and nothing of Hydra's stays behind."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from dsrna.config.compose import compose_with_hydra
from dsrna.interruption import Interrupted, StopSignals
from dsrna.run_lock import held
from dsrna.runs.choice import choose_folder
from dsrna.runs.command import Command
from dsrna.runs.replay import replay
from dsrna.runs.request import given_folder, resume_command


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
    all_overrides = replay(command.name, overrides)
    config, of_hydra = compose_with_hydra(command.name, all_overrides)
    settings = command.settings(config)
    folder = given_folder("hydra.run.dir", all_overrides) or choose_folder(
        [settings], [all_overrides], multirun=False, shared=command.shared
    )
    again = resume_command(command.module, overrides, multirun=False)
    try:
        with StopSignals(at_once=True), nullcontext() if command.shared else held(folder):
            command.run(command.request(settings, config, of_hydra, folder, again))
    except Interrupted:
        raise KeyboardInterrupt from None
    finally:
        with suppress(OSError):  # only an empty folder goes: nothing was done in it
            folder.rmdir()
    return folder
