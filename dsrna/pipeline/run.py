"""Running one job: stage after stage, each noted in run.json, so that a killed run knows where it was."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from dsrna.config.parts import build_part
from dsrna.config.request import Request
from dsrna.config.settings import Settings
from dsrna.config.sweep_objective import sweep_objective
from dsrna.data.splits import Splits
from dsrna.errors import DsrnaError
from dsrna.nn.freed_memory import keep_freed_memory
from dsrna.pipeline.evaluate_stage import evaluate
from dsrna.pipeline.first_line import first_line
from dsrna.pipeline.folders import at_work, check_data, create, do_stage, unfinished
from dsrna.pipeline.inputs import Inputs, read_inputs
from dsrna.pipeline.job import Job, load_splits
from dsrna.pipeline.logs import logging_to
from dsrna.pipeline.rehearsal import rehearse
from dsrna.pipeline.retrain_stage import baseline, certified, retrain
from dsrna.pipeline.search_stage import search
from dsrna.pipeline.summary import show_result
from dsrna.pipeline.sweep_objective import note_objective
from dsrna.pipeline.table_verdict import judge
from dsrna.report import write_report
from dsrna.run_folder import RunFolder
from dsrna.training.dashboards import Dashboard
from dsrna.training.fit import device_name, device_of

log = logging.getLogger("dsrna")


def run(request: Request[Settings]) -> float | None:
    """Runs a job to its end, or continues it where it stopped.

    Returns:
        What the run gives to a sweep (``sweep_objective``), the same as in its ``run.json``; higher = better.

    Raises:
        DsrnaError: with a message for the user; the run folder keeps what was done.
        Interrupted: by a signal; the state is saved.
    """
    settings = request.settings
    device = device_name(device_of(settings.trainer.accelerator))
    stages = plan(request)
    objective, value = sweep_objective(settings), None
    folder = unfinished(request)
    if folder is not None and folder.is_complete:
        with logging_to(folder.run_log):
            log.info("finished already: %s", folder.path)
            value = note_objective(folder, objective) if objective is not None else None
            return _result(folder, value, redraw=judge(folder, settings.data))  # of tables that weren't there then
    # Nothing is written before the data and what `from` names are known to be usable.
    try:
        splits = load_splits(settings)
        if folder is not None:
            check_data(folder, splits.digest)
        inputs = _checked_inputs(settings, splits, stages) if _not_begun(folder, stages) else None
    except DsrnaError:
        if request.in_sweep and folder is None:  # the table over the jobs has a row for this one too
            folder = create(request, stages, device)
            folder.set_stage(next(iter(stages)), "failed")
            with logging_to(folder.run_log):
                raise
        raise
    folder = folder or create(request, stages, device, splits.digest)
    with at_work(folder, request):
        log.info("%s", first_line(request))
        log.info("data: %s", _in_words(splits))
        if inputs is not None:
            inputs.copy_to(folder)
        dashboard = Dashboard(settings.logger, folder.path, settings.name, asdict(settings), request.fingerprint)
        job = Job(settings, folder, f"{request.fingerprint} {splits.digest}", splits, dashboard)
        failed, threads_before = True, torch.get_num_threads()
        try:
            job.choose_threads()
            if job.device.type == "cpu":
                keep_freed_memory()
            for name, stage in stages.items():
                do_stage(folder, name, partial(stage, job))
                if objective is not None and name == objective.partition("/")[0]:
                    value = note_objective(folder, objective)
            failed = False
        finally:
            torch.set_num_threads(threads_before)
            dashboard.close(failed)
        return _result(folder, value)


def plan(request: Request[Settings]) -> dict[str, Callable[[Job], Any]]:
    """The stages in order; the baseline and the certified training go with the retrain stage."""
    known: dict[str, Callable[[Job], Any]] = {
        "search": search,
        "retrain": retrain,
        "certified": certified,
        "baseline": baseline,
        "evaluate": evaluate,
        "report": report,
    }
    wanted = set(request.settings.stages)
    if "retrain" in wanted and request.settings.retrain.baseline and not _is_standard(request):
        wanted.add("baseline")
    if "retrain" in wanted and request.settings.retrain.certified:
        wanted.add("certified")
    return {name: stage for name, stage in known.items() if name in wanted}


def report(job: Job) -> None:
    """Draws the pictures and the page."""
    page = write_report(job.folder.path)
    job.dashboard.log_pictures(sorted(job.folder.plots_dir.glob("*.png")))
    log.info("report: %s", page)


def _is_standard(request: Request[Settings]) -> bool:
    return str(request.settings.objective["_target_"]).endswith(".Standard")


def _checked_inputs(settings: Settings, splits: Splits, stages: dict[str, Any]) -> Inputs:
    inputs = read_inputs(next(iter(stages)), settings.start_from, build_part(settings.space, "space"), splits)
    rehearse(settings, splits, stages, inputs.genotype)
    return inputs


def _not_begun(folder: RunFolder | None, stages: dict[str, Any]) -> bool:
    return folder is None or folder.read_run()["stages"][next(iter(stages))]["state"] in ("pending", "failed")


def _in_words(splits: Splits) -> str:
    counts = f"{len(splits.train)} training, {len(splits.validation)} validation, {len(splits.test)} test images"
    shape = "x".join(str(size) for size in splits.train.shape)
    return f"{splits.origin}; {counts} of {shape}, {splits.train.classes} classes"


def _result(folder: RunFolder, value: float | None, redraw: bool = False) -> float | None:
    """Shows what came out of a run that is done, and returns ``value``."""
    if redraw or (folder.verdict_json.exists() and not folder.report_html.exists()):
        write_report(folder.path)  # the tables' verdict is a result, also of a search alone
    show_result(folder)
    return value
