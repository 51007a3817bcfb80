"""Runs inside the folder of another one, for commands whose work is many searches, trainings and evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dsrna.config.fingerprint import fingerprint_of
from dsrna.config.settings import RunSettings
from dsrna.run_folder import RunFolder
from dsrna.runs.command import Program
from dsrna.runs.life_cycle import run
from dsrna.runs.request import Request

T = TypeVar("T")

WAIT_SECONDS = 2.0
"""Until it is looked again whether another process has ended what all that is left depends on."""


def run_inside(
    program: Program[Any, Any],
    outer: Request[Any],
    kind: str,
    settings: RunSettings,
    folder: Path,
    overrides: Sequence[str],
    *,
    config: Mapping[str, Any],
    choices: Mapping[str, str],
    fingerprint: str | None = None,
) -> RunFolder:
    """Does, or goes on with, what ``python -m dsrna.KIND`` does, in a folder of its own, and returns that.

    Args:
        program: of the command.
        outer: the run that it belongs to, which is gone on with to go on with this one.
        kind: the command.
        settings: of the inner run.
        folder: its run folder.
        overrides: what ``from=`` replays of it.
        config: what its ``config.yaml`` is to say.
        choices: config group -> what was chosen.
        fingerprint: what a run that was begun there must have; by default that of its settings.

    Raises:
        DsrnaError, Interrupted: as of :func:`dsrna.runs.life_cycle.run`.
    """
    request = Request(
        kind=kind,
        module=(f"dsrna.{kind}",),
        settings=settings,
        config=dict(config),
        overrides=list(overrides),
        config_folders=outer.config_folders,
        folder=folder,
        fingerprint=fingerprint_of(settings) if fingerprint is None else fingerprint,
        in_sweep=False,
        resume_command=outer.resume_command,
        choices=dict(choices),
    )
    run(program, request)
    return RunFolder(folder)


def work_together(left: Callable[[], Sequence[T]], do: Callable[[T], bool], until: float = float("inf")) -> None:
    """Does, one after the other, what isn't done yet and no other process is doing, until nothing is left.

    Args:
        left: what isn't done, by whomever, in the order in which it is to be tried.
        do: does one of them, and says whether it did; not where it waits for another, or somebody is at it.
        until: of :func:`time.monotonic`; then nothing new is begun.
    """
    while time.monotonic() < until and (tasks := left()):
        if not any(do(task) for task in tasks):
            time.sleep(WAIT_SECONDS)
