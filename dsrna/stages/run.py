"""What search, retrain and evaluate do: the stages in order, and what is in place while they work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from dsrna.config.objectives import retrain_objective
from dsrna.config.parts import build_part, target_of
from dsrna.config.settings import Settings
from dsrna.config.sweep_objective import sweep_objective
from dsrna.config.validate import threat_of
from dsrna.console import echo
from dsrna.data.splits import Splits
from dsrna.distributed import group
from dsrna.distributed.leading import led
from dsrna.errors import CheckpointError
from dsrna.nn.freed_memory import keep_freed_memory
from dsrna.objectives.standard import Standard
from dsrna.report import write_report, write_sweep_report
from dsrna.run_folder import RunFolder
from dsrna.runs.command import Objective, Program
from dsrna.runs.first_line import data_and_threat
from dsrna.runs.request import Request
from dsrna.runs.sources import load_splits
from dsrna.stages.consensus import sweep_consensus
from dsrna.stages.evaluate import evaluate
from dsrna.stages.inputs import Inputs, read_inputs
from dsrna.stages.job import Job, at_most
from dsrna.stages.rehearsal import rehearse
from dsrna.stages.retrain import baseline, certified, retrain
from dsrna.stages.search import search
from dsrna.stages.summary import show_result
from dsrna.stages.verdict import write_verdict
from dsrna.training.checkpoints import load_checkpoint
from dsrna.training.dashboards.base import About, Dashboards

log = logging.getLogger("dsrna")


@dataclass(frozen=True)
class Opened:
    """A job whose data are loaded.

    Attributes:
        request: the job.
        splits: its data.
    """

    request: Request[Settings]
    splits: Splits

    @cached_property
    def inputs(self) -> Inputs:
        """What ``from`` names."""
        settings = self.request.settings
        first = next(iter(plan(settings)))
        return read_inputs(first, settings, self.splits)

    @property
    def data(self) -> str:
        """Digest of the images."""
        return self.splits.digest

    @property
    def first_lines(self) -> list[str]:
        """Recipe and data."""
        splits = self.splits
        counts = f"{len(splits.train)} training, {len(splits.validation)} validation, {len(splits.test)} test images"
        shape = "x".join(str(size) for size in splits.train.shape)
        about = f"data: {splits.origin}; {counts} of {shape}, {splits.train.classes} classes"
        return [first_line(self.request), about]


def plan(settings: Settings) -> dict[str, Callable[[Job], object]]:
    """The stages in order; the baseline and the certified training go with the retrain stage."""
    known: dict[str, Callable[[Job], object]] = {
        "search": together("search", search),
        "retrain": together("retrain", retrain),
        "certified": together("certified", certified),
        "baseline": together("baseline", baseline),
        "evaluate": together("evaluate", evaluate),
        "report": report,
    }
    wanted = set(settings.stages)
    if "retrain" in wanted and settings.retrain.baseline and not _is_standard(settings):
        wanted.add("baseline")
    if "retrain" in wanted and settings.retrain.certified:
        wanted.add("certified")
    return {name: stage for name, stage in known.items() if name in wanted}


def together(name: str, stage: Callable[[Job], object]) -> Callable[[Job], object]:
    """A stage that every process of the run takes part in, if there are several."""

    def work(job: Job) -> None:
        if group.leads():
            job.shared.announce(name)
        stage(job)

    return work


def first_line(request: Request[Settings]) -> str:
    """Data, threat and recipe; of stages that train, how."""
    settings, choices = request.settings, request.choices
    limits, stages, threat = settings.trainer.limits, settings.stages, threat_of(settings)

    def sizes(training: Any) -> str:
        epochs, cells = at_most(training.epochs, limits.epochs), at_most(training.cells, limits.cells)
        return f"{epochs} epochs, {cells} cells, {at_most(training.channels, limits.channels)} channels"

    trainings = []
    if "search" in stages:
        trainings.append(f"search for {sizes(settings.search)}")
    if "retrain" in stages:
        objective = retrain_objective(settings.objective, "objective", threat)
        trainings.append(f"{objective.title} for {sizes(settings.retrain)}")
    named = choices.get("recipe") or choices.get("usual", "")
    return f"{data_and_threat(request, threat)}, recipe {named}: {'; '.join(trainings) or 'as trained'}"


def measured(folder: RunFolder, key: str) -> float:
    """The value of a logged key: of a search in its last epoch, whose alphas give the genotype; of a training in the
    epoch whose weights were kept.

    Raises:
        CheckpointError: the stage has not measured it.
    """
    stage, _, name = key.partition("/")
    if stage == "search":
        values = [record[key] for record in folder.read_metrics() if record.get(key) is not None]
        value = values[-1] if values else None
    else:
        value = load_checkpoint(folder.best_checkpoint(stage))["numbers"].get(name)
    if value is None:
        raise CheckpointError(f"Expected {key} among the numbers of {folder.path}, found none. (conf: sweep_objective)")
    return float(value)


def report(job: Job) -> None:
    """Draws the pictures and the page."""
    page = write_report(job.folder.path)
    job.dashboard.log_pictures(sorted(job.folder.plots_dir.glob("*.png")))
    job.dashboard.log_file("report", page)
    log.info("report: %s", page)


def _is_standard(settings: Settings) -> bool:
    objective = target_of(settings.objective, "objective")
    return isinstance(objective, type) and issubclass(objective, Standard)


def _check(opened: Opened) -> None:
    """Reads what ``from`` names, and builds without memory what the stages will build."""
    settings = opened.request.settings
    rehearse(settings, opened.splits, plan(settings), opened.inputs.genotype)


@contextmanager
def _working(opened: Opened, begins: bool) -> Iterator[Job]:
    """What the job starts from is in its folder, torch has its threads, and its dashboard is open."""
    request, splits = opened.request, opened.splits
    settings, folder = request.settings, RunFolder(request.folder)
    if begins:
        opened.inputs.copy_to(folder)
    about = About(
        folder.path, settings.name, settings.model_dump(), request.fingerprint, settings.stages, request.in_sweep
    )
    dashboard = Dashboards([build_part(part, f"logger.{name}") for name, part in settings.logger.items()], about)
    if opened.inputs.genotype is not None:
        dashboard.log_source("genotype", folder.genotype_json)
    job = Job(settings, folder, f"{request.fingerprint} {splits.digest}", splits, dashboard)
    failed, threads_before = True, torch.get_num_threads()
    try:
        if job.device.type == "cpu":
            keep_freed_memory()
        with led(settings.trainer.devices, job.device.type, folder.path, "dsrna.stages.follow") as job.shared:
            job.choose_threads()
            yield job
        failed = False
    finally:
        torch.set_num_threads(threads_before)
        dashboard.close(failed)


def _objective(settings: Settings) -> Objective | None:
    key = sweep_objective(settings)
    return None if key is None else Objective(key, key.partition("/")[0], partial(measured, key=key))


def _show(folder: RunFolder, settings: Settings, finished_before: bool) -> None:
    """Shows what came out, and what the published tables say, which are a result also of a search alone."""
    new = finished_before and write_verdict(folder, settings.data)  # of tables that weren't there then
    if new or (folder.verdict_json.exists() and not folder.report_html.exists()):
        write_report(folder.path)
    show_result(folder)


def _finish_sweep(folder: Path) -> None:
    """Draws the table over the jobs of a multirun, and writes what its seeds agree on."""
    echo(f"table over the jobs: {write_sweep_report(folder)}")
    for line in sweep_consensus(folder):
        echo(line)


STAGES: Program[Settings, Opened] = Program(
    prepare=lambda request: Opened(request, load_splits(request.settings)),
    check=_check,
    working=_working,
    stages=plan,
    objective=_objective,
    summary=_show,
    finish_sweep=_finish_sweep,
    follow="dsrna.stages.follow:follow",
)
