"""A trial: a run of search or retrain for each seed, in folders of its own, watched after every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from statistics import mean
from typing import Any

from omegaconf import OmegaConf

from dsrna.config.compose import compose_with_hydra
from dsrna.config.validate import validated
from dsrna.errors import DsrnaError
from dsrna.run_folder import RunFolder
from dsrna.runs.command import nothing
from dsrna.runs.inside import run_inside
from dsrna.runs.replay import replay
from dsrna.runs.request import Request, choices_of
from dsrna.stages.job import Job
from dsrna.stages.run import STAGES, Opened, measured
from dsrna.training.after_epoch import AfterEpoch
from dsrna.tuning.settings import TuneSettings, trial_overrides

Tell = Callable[[int, float], None]
"""(how many epochs have told the objective so far, its value in the last one); what it raises ends the run."""


class PrunedError(DsrnaError):
    """A trial is so far behind others that it isn't worth ending."""


def values_of(
    outer: Request[TuneSettings], where: str, values: Mapping[str, str], seeds: list[int], tell: Tell = nothing
) -> list[float]:
    """What a trial measures, the mean over its seeds of each objective.

    A run that is done isn't done again, and one that was stopped is gone on with.

    Args:
        outer: the study.
        where: the trial's folder in that of the study.
        values: key -> value, as they are typed.
        seeds: of the trial's runs.
        tell: is told the first objective after every epoch that measures it.

    Raises:
        DsrnaError: a run failed.
        PrunedError: as ``tell`` says.
        Interrupted: by a signal; the state is saved.
    """
    found, told = [], 0
    for seed in seeds:
        folder = RunFolder(outer.folder / where / f"seed{seed}")
        before = told

        def after_epoch(folder: RunFolder = folder, before: int = before) -> None:
            nonlocal told
            known = _known(folder, outer.settings.objectives[0])
            if before + len(known) > told:
                told = before + len(known)
                tell(told, known[-1])

        _run(outer, folder, trial_overrides(outer.settings, values, seed), after_epoch)
        found.append([measured(folder, key) for key in outer.settings.objectives])
    return [mean(each) for each in zip(*found, strict=True)]


def _known(folder: RunFolder, key: str) -> list[float]:
    """The values of a logged key so far, epoch by epoch."""
    records = folder.read_metrics() if folder.metrics_jsonl.exists() else []
    return [record[key] for record in records if record.get("kind") == "epoch" and record.get(key) is not None]


def _run(
    outer: Request[TuneSettings], folder: RunFolder, overrides: list[str], after_epoch: Callable[[], None]
) -> None:
    command = outer.settings.command
    typed = [*outer.config_folders, *overrides, f"name={folder.path.name}", "resume=auto"]
    config, of_hydra = compose_with_hydra(command, replay(command, typed))

    @contextmanager
    def working(opened: Opened, begins: bool) -> Iterator[Job]:
        with STAGES.working(opened, begins) as job:
            job.watch = AfterEpoch(after_epoch)
            yield job

    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    run_inside(
        replace(STAGES, working=working, summary=nothing),
        outer,
        command,
        validated(config),
        folder.path,
        overrides,
        config=plain,
        choices=choices_of(of_hydra),
    )
