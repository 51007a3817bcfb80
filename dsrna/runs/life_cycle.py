"""The life of a run, the same for every command: found or made, checked, stage after stage, shown."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, TypeVar

from dsrna.config.settings import RunSettings, TrainerSettings
from dsrna.errors import DsrnaError
from dsrna.run_folder import RunFolder
from dsrna.runs.command import Objective, Program, Work
from dsrna.runs.folders import at_work, check_data, create, do_stage, unfinished
from dsrna.runs.logs import logging_to
from dsrna.runs.request import Request
from dsrna.training.fit import device_name, device_of

log = logging.getLogger("dsrna")

S = TypeVar("S", bound=RunSettings)
W = TypeVar("W", bound=Work)


def run(program: Program[S, Any], request: Request[S]) -> float | None:
    """Runs a job to its end, or continues it where it stopped; each stage is noted in run.json.

    Returns:
        What the run gives to a sweep, the same as in its ``run.json``; higher = better.

    Raises:
        DsrnaError: with a message for the user; the run folder keeps what was done.
        Interrupted: by a signal; the state is saved.
    """
    settings = request.settings
    stages = program.stages(settings)
    device = computing_on(settings)
    folder = unfinished(request)
    if folder is not None and folder.is_complete:
        with logging_to(folder.run_log):
            log.info("finished already: %s", program.product(folder))
            value = _noted(folder, program.objective(settings))
            program.summary(folder, settings, True)
            return value
    begins = folder is None or not _has_begun(folder, next(iter(stages)))
    # Nothing is written before everything that the stages need is known to be usable.
    try:
        work = program.prepare(request)
        if folder is not None and work.data is not None:
            check_data(folder, work.data)
        if begins:
            program.check(work)
    except DsrnaError:
        if request.in_sweep and folder is None:  # the table over the jobs has a row for this one too
            folder = create(request, stages, device)
            folder.set_stage(next(iter(stages)), "failed")
            with logging_to(folder.run_log):
                raise
        raise
    return do_stages(program, request, folder or create(request, stages, device, work.data), work, begins)


def do_stages(program: Program[S, W], request: Request[S], folder: RunFolder, work: W, begins: bool) -> float | None:
    """Stage after stage, noted and logged; then what came out is shown.

    Args:
        program: whose stages they are.
        request: the job.
        folder: its run folder.
        work: what the program has prepared.
        begins: whether the first stage is yet to begin.

    Returns:
        As :func:`run`.
    """
    objective, value = program.objective(request.settings), None
    with at_work(folder, request):
        for line in work.first_lines:
            log.info("%s", line)
        with program.working(work, begins) as job:
            for name, stage in program.stages(request.settings).items():
                do_stage(folder, name, partial(stage, job))
                if objective is not None and name == objective.stage:
                    value = _noted(folder, objective)
        program.summary(folder, request.settings, False)
    return value


def computing_on(settings: RunSettings) -> str:
    """Where it computes, for ``run.json``: on the CPU, if its settings choose nothing else.

    Raises:
        ConfigError: there is no such device.
    """
    trainer: TrainerSettings | None = getattr(settings, "trainer", None)
    return "cpu" if trainer is None else device_name(device_of(trainer.accelerator))


def _has_begun(folder: RunFolder, first: str) -> bool:
    return folder.read_run()["stages"][first]["state"] not in ("pending", "failed")


def _noted(folder: RunFolder, objective: Objective | None) -> float | None:
    """The number that the run gives to a sweep, noted in ``run.json``."""
    if objective is None:
        return None
    value = objective.read(folder)
    folder.set_objective(objective.key, value)
    return value
