"""From a command line to jobs: every job is composed and validated before the first one starts."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dsrna.config.catalog import conf_folder
from dsrna.config.command_line import quoted, read_command_line, without_globs
from dsrna.config.compose import as_composed, complete, compose
from dsrna.config.settings import RunSettings
from dsrna.config.sweep_objective import refuse_mixed
from dsrna.distributed.launcher import launched_from_outside
from dsrna.errors import ConfigError, DsrnaError
from dsrna.importing import importing
from dsrna.interruption import Interrupted, StopSignals
from dsrna.run_folder import RunFolder
from dsrna.run_lock import held
from dsrna.runs.choice import choose_folder
from dsrna.runs.command import Command
from dsrna.runs.composed import run_composed
from dsrna.runs.jobs import jobs_of
from dsrna.runs.one_job import one_job
from dsrna.runs.replay import replay
from dsrna.runs.request import given_folder, resume_command
from dsrna.runs.single_process import refuse_several
from dsrna.runs.sweep import Sweep

CHECKED = "Settings checked. Now importing what the run takes, and opening its data."
"""The first line of every run, before what takes as long as finding a mistake in the settings."""


def launch(command: Command[Any], echo: Callable[[str], None]) -> None:
    """Parses the command line, checks every job, then has Hydra run them: one, or a multirun by any launcher.

    Args:
        command: what is run.
        echo: shows one message to the user.
    """
    try:
        typed = read_command_line(sys.argv[1:])
        if typed.asks_hydra:
            _hydra(command, _never)
            return
        if not launched_from_outside(os.environ) or typed.multirun:
            refuse_several()
        elif command.follow():
            return
        start = (_multirun if typed.multirun else _lone_job)(command, typed.overrides, echo)
        echo(CHECKED)
        with importing():
            resolve_name(command.program)
    except DsrnaError as error:
        echo(f"[error] {error}")
        raise SystemExit(2) from None
    start()


def _lone_job(command: Command[Any], typed: list[str], echo: Callable[[str], None]) -> Callable[[], None]:
    """What runs the job of these overrides, which is right. Hydra takes it as it is composed already."""
    with importing():  # the parts
        job = one_job(command, typed)
    folder = job.request.folder

    def task(_: DictConfig) -> None:
        try:
            job.run()
        except DsrnaError as error:
            echo(f"[error] {error}")
            raise SystemExit(2) from None

    return partial(_told_where_nothing_was_done, folder, echo, partial(run_composed, job, task))


def _multirun(command: Command[Any], typed: list[str], echo: Callable[[str], None]) -> Callable[[], None]:
    """What runs the jobs that these overrides stand for, all of which are right."""
    overrides = without_globs(replay(command.name, typed))
    planned = jobs_of(command.name, overrides)
    jobs = planned.overrides
    every = _checked(command, jobs)
    if planned.may_be_compared:
        refuse_mixed(every)
    folder = given_folder("hydra.sweep.dir", overrides) or choose_folder(every, jobs, True, command.shared)
    again = resume_command(command.module, typed, multirun=True)
    sweep = Sweep(folder.absolute())

    def task(config: DictConfig) -> float | None:
        """One job. Launchers may run it in another process: it reports by files alone."""
        complete(config, HydraConfig.get())
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            with StopSignals(at_once=True), nullcontext() if command.shared else held(folder):
                if sweep.stopped_by is not None:
                    return None
                RunFolder(folder).failure_json.unlink(missing_ok=True)
                return command.run(command.request(command.settings(config), config, HydraConfig.get(), folder, again))
        except DsrnaError as error:
            echo(f"[error] {error}")
            sweep.note_failure(folder, error)
            return None  # the other jobs go on
        except Interrupted as stopped:
            sweep.stop(stopped.number)
            return None  # no other job is begun
        except Exception as error:
            sweep.note_failure(folder, error)
            raise
        finally:
            with suppress(OSError):  # only an empty folder goes: nothing was done in it
                folder.rmdir()

    def start() -> None:
        # The folder is Hydra's own setting, so that every launcher and sweeper sees it.
        sys.argv = [sys.argv[0], "--multirun", *as_composed(overrides), f"hydra.sweep.dir={quoted(str(folder))}"]
        _run_all(sweep, len(jobs), partial(_hydra, command, task), command, echo, again)

    return partial(_told_where_nothing_was_done, folder, echo, start)


def _hydra(command: Command[Any], task: Callable[[DictConfig], Any]) -> None:
    """Hydra does what this process's command line says."""
    hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=command.name)(task)()


def _told_where_nothing_was_done(folder: Path, echo: Callable[[str], None], start: Callable[[], None]) -> None:
    """Starts it; after a signal that came before anything was done, that is said. An empty folder goes."""
    try:
        start()
    except Interrupted:
        if not any(folder.rglob("run.json")):
            echo("Stopped before anything was done.")
        raise
    finally:
        with suppress(OSError):
            folder.rmdir()


def _run_all(
    sweep: Sweep,
    jobs: int,
    start: Callable[[], None],
    command: Command[Any],
    echo: Callable[[str], None],
    resume_command: str,
) -> None:
    """Runs the jobs of a multirun, and ends with what became of them.

    Raises:
        SystemExit: a job failed.
        Interrupted: a signal came, here or to a job.
    """
    status = 0
    with held(sweep.path), StopSignals(at_once=False, on_ask=sweep.stop):
        sweep.begin()
        try:
            start()
        except SystemExit as end:  # Hydra's, after an error that is nobody's on purpose
            status = int(end.code or 0)
        finished = sweep.states
        try:
            command.finish_sweep(sweep.path)
        except DsrnaError as error:  # not one job got so far
            echo(f"[error] {error}")
        stopped, done = sweep.stopped_by, list(finished.values()).count("done")
        if stopped is not None:
            echo(f"Stopped: {done} of {jobs} jobs are done. To go on:\n  {resume_command}")
            raise Interrupted(stopped)
        failed = [f"  {job}: {state}" for job, state in finished.items() if state != "done"]
        failed += [f"  {jobs - len(finished)} without a run folder"] if len(finished) < jobs else []
    if failed:
        count = jobs - done
        echo("\n".join([f"[error] {count} job(s) failed; `resume=auto` runs only those again.", *failed]))
    if failed or status:
        raise SystemExit(status or 2)


def _never(config: DictConfig) -> None:
    raise AssertionError("Hydra prints help and config without running the task")


def _checked(command: Command[Any], jobs: list[list[str]]) -> list[RunSettings]:
    """The settings of every job, validated."""
    every = []
    for number, job in enumerate(jobs):
        try:
            with importing() if number == 0 else nullcontext():  # the parts, most of which are those of every job
                settings = command.settings(compose(command.name, job))
        except ConfigError as error:
            raise ConfigError(f"Job {number}, {shlex.join(job)}: {error}" if len(jobs) > 1 else str(error)) from error
        every.append(settings)
    return every
