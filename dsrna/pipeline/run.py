"""Running one job: stage after stage, each noted in run.json, so that a killed run knows where it was."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from dsrna.config.launch import Request
from dsrna.errors import CheckpointError
from dsrna.pipeline.evaluate_stage import evaluate
from dsrna.pipeline.inputs import bring_inputs
from dsrna.pipeline.job import Job
from dsrna.pipeline.logs import logging_to
from dsrna.pipeline.retrain_stage import baseline, retrain
from dsrna.pipeline.search_stage import search
from dsrna.pipeline.summary import result_rows, show_result
from dsrna.report import write_report
from dsrna.run_folder import RunFolder
from dsrna.training.dashboards import Dashboard
from dsrna.training.fit import device_name, device_of
from dsrna.training.interruption import Interrupted

log = logging.getLogger("dsrna")


def run(request: Request) -> float | None:
    """Runs a job to its end, or continues it where it stopped.

    Returns:
        The retrained network's robust accuracy under the last attack listed, for sweepers; None without evaluation.

    Raises:
        DsrnaError: with a message for the user; the run folder keeps what was done.
        KeyboardInterrupt: Ctrl-C; the state is saved.
    """
    settings = request.settings
    device = device_of(settings.trainer.accelerator)
    stages = plan(request)
    folder = _open(request, stages, device_name(device))
    with logging_to(folder.run_log):
        if folder.is_complete:
            log.info("finished already: %s", folder.path)
            show_result(folder)
            return _objective(folder)
        log.info("run folder: %s", folder.path)
        dashboard = Dashboard(settings.logger, folder.path, settings.name, asdict(settings), request.fingerprint)
        job = Job(settings, folder, request.fingerprint, dashboard)
        failed, threads_before = True, torch.get_num_threads()
        try:
            if folder.read_run()["stages"][next(iter(stages))]["state"] == "pending":
                bring_inputs(job, next(iter(stages)))
            job.choose_threads()
            for name, stage in stages.items():
                _run_stage(job, name, stage, request)
            failed = False
        finally:
            torch.set_num_threads(threads_before)
            dashboard.close(failed)
        show_result(folder)
        return _objective(folder)


def plan(request: Request) -> dict[str, Callable[[Job], Any]]:
    """The stages in order; the baseline goes with the retrain stage."""
    known: dict[str, Callable[[Job], Any]] = {
        "search": search,
        "retrain": retrain,
        "baseline": baseline,
        "evaluate": evaluate,
        "report": report,
    }
    wanted = set(request.settings.stages)
    if "retrain" in wanted and request.settings.retrain.baseline and not _is_standard(request):
        wanted.add("baseline")
    return {name: stage for name, stage in known.items() if name in wanted}


def report(job: Job) -> None:
    """Draws the pictures and the page."""
    job.folder.set_stage("report", "done")  # so that the page itself says that the run is complete
    page = write_report(job.folder.path)
    job.dashboard.log_pictures(sorted(job.folder.plots_dir.glob("*.png")))
    log.info("report: %s", page)


def _is_standard(request: Request) -> bool:
    return str(request.settings.objective["_target_"]).endswith(".Standard")


def _open(request: Request, stages: dict[str, Any], device: str) -> RunFolder:
    if (request.folder / "run.json").exists():
        folder = RunFolder.open(request.folder)
        if folder.read_run()["fingerprint"] != request.fingerprint:
            raise CheckpointError(
                f"{request.folder} holds a run with other settings. Choose another folder, or give the same settings."
            )
        if request.settings.resume != "auto":
            raise CheckpointError(f"{request.folder} holds a run already. Continue it with resume=auto.")
        return folder
    return RunFolder.create(
        request.folder,
        kind=request.kind,
        fingerprint=request.fingerprint,
        config_text=request.config_text,
        overrides=request.overrides,
        stages=list(stages),
        device=device,
        command=shlex.join(["python", "-m", f"dsrna.{request.kind}", *request.overrides]),
    )


def _run_stage(job: Job, name: str, stage: Callable[[Job], Any], request: Request) -> None:
    noted = job.folder.read_run()["stages"].get(name, {})
    if noted.get("state") == "done":
        return
    began, before = time.monotonic(), float(noted.get("seconds", 0.0))

    def note(state: Any) -> None:
        job.folder.set_stage(name, state, before + time.monotonic() - began)

    try:
        note("running")
        stage(job)
    except (KeyboardInterrupt, Interrupted):
        note("interrupted")
        log.warning(
            "Interrupted in the %s stage; what was done is in %s. To go on:\n  %s",
            name, job.folder.path, request.resume_command,
        )  # fmt: skip
        raise KeyboardInterrupt from None
    except BaseException:
        note("failed")
        raise
    note("done")


def _objective(folder: RunFolder) -> float | None:
    rows = result_rows(folder)
    return rows[-1]["accuracy"] if rows else None
