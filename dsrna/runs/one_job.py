"""One job that is no multirun's, typed or given by a program: composed once, checked, and done in its folder."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from dsrna.config.compose import compose_with_hydra
from dsrna.interruption import StopSignals
from dsrna.run_lock import held
from dsrna.runs.choice import choose_folder
from dsrna.runs.command import Command
from dsrna.runs.replay import replay
from dsrna.runs.request import Request, given_folder, resume_command


@dataclass(frozen=True)
class OneJob:
    """A job that may be run.

    Attributes:
        command: whose job it is.
        request: with its settings and its folder.
        config: what they were read from.
        of_hydra: Hydra's own part of what was composed.
    """

    command: Command[Any]
    request: Request[Any]
    config: DictConfig
    of_hydra: DictConfig

    def run(self) -> None:
        """Does it.

        Raises:
            DsrnaError: with a message for the user; the run folder keeps what was done.
            Interrupted: by a signal; the state is saved.
        """
        folder = self.request.folder
        try:
            with StopSignals(at_once=True), nullcontext() if self.command.shared else held(folder):
                self.command.run(self.request)
        finally:
            with suppress(OSError):  # only an empty folder goes: nothing was done in it
                folder.rmdir()


def one_job(command: Command[Any], typed: list[str]) -> OneJob:
    """The job of a command line's overrides, checked.

    Raises:
        DsrnaError: what is wrong with it; nothing is written.
    """
    overrides = replay(command.name, typed)
    config, of_hydra = compose_with_hydra(command.name, overrides)
    settings = command.settings(config)
    folder = given_folder("hydra.run.dir", overrides) or choose_folder(
        [settings], [overrides], multirun=False, shared=command.shared
    )
    again = resume_command(command.module, typed, multirun=False)
    return OneJob(command, command.request(settings, config, of_hydra, folder, again), config, of_hydra)
