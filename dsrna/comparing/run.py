"""A comparison: from its plan to its table."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from dsrna.comparing.architectures import digest_of
from dsrna.comparing.cells import Cells
from dsrna.comparing.collect import collected
from dsrna.comparing.cost_estimate import estimated_costs
from dsrna.comparing.costs import Costs
from dsrna.comparing.evaluated import network_stage
from dsrna.comparing.helpers import helped
from dsrna.comparing.jobs import Jobs
from dsrna.comparing.pages import PAGE, write_pages
from dsrna.comparing.plan import Origin, Plan
from dsrna.comparing.results import Results, Trained
from dsrna.comparing.settings import ComparisonSettings
from dsrna.comparing.transfer import FOLDER, TransferPlan, transfer_matrix
from dsrna.comparing.work import Work
from dsrna.config.parts import located
from dsrna.config.validate import threat_of
from dsrna.data.splits import Splits
from dsrna.errors import DsrnaError
from dsrna.run_folder import RunFolder
from dsrna.run_lock import held_if_free
from dsrna.runs.command import Program
from dsrna.runs.request import Request
from dsrna.runs.sources import load_splits
from dsrna.stages.rehearsal import rehearse
from dsrna.training.fit import device_of
from dsrna.training.trained_network import load_network

log = logging.getLogger("dsrna")


@dataclass
class Comparison:
    """A comparison whose images and settings are known to be usable.

    Attributes:
        request: the job.
        plan, jobs, cells, work: what is to be done.
        splits: the images.
        costs: what is known of them, from the estimate on.
    """

    request: Request[ComparisonSettings]
    plan: Plan
    jobs: Jobs
    cells: Cells
    work: Work
    splits: Splits
    costs: Costs
    data = None  # each job's own run folder notes its images

    @property
    def first_lines(self) -> list[str]:
        settings = self.request.settings
        return [
            f"comparison of {len(settings.rows)} rows on {self.splits.origin}; search seeds {settings.search_seeds}, "
            f"training seeds {settings.training_seeds}"
        ]


def prepare(request: Request[ComparisonSettings]) -> Comparison:
    """Loads the data, and composes what every row searches by."""
    splits = load_splits(request.settings)
    plan, jobs = Plan.of(request.settings), Jobs(request)
    cells = Cells(plan, jobs, splits)
    return Comparison(request, plan, jobs, cells, Work(plan, jobs, cells), splits, Costs())


def check(comparison: Comparison) -> None:
    """Builds without memory what searches and trainings will build."""
    for row in comparison.plan.rows:
        shared = comparison.jobs.shared(row.name).settings
        with located("rows" if row.model is not None else ""):
            rehearse(shared, comparison.splits, ("retrain", "evaluate"), None)
        if row.search is not None:
            rehearse(comparison.jobs.searching(row.name).settings, comparison.splits, ("search",), None)


def stages(settings: ComparisonSettings) -> dict[str, Callable[[Comparison], object]]:
    """The estimate; with ``rehearsal=only`` nothing else."""
    every: dict[str, Callable[[Comparison], object]] = {"estimate": _estimate, "work": _work, "table": _table}
    every |= {} if settings.transfer is None else {"transfer": _transfer}
    return {"estimate": _estimate} if settings.rehearsal == "only" else every


def _estimate(comparison: Comparison) -> None:
    it = comparison
    it.costs = estimated_costs(it.request, it.plan, it.jobs, it.cells, it.work, it.splits)


def _work(comparison: Comparison) -> None:
    request = comparison.request
    with helped(request, 0 if request.launcher is not None else request.settings.processes - 1):
        comparison.work.do_all(request, comparison.costs)


def _table(comparison: Comparison) -> None:
    """Writes results and pages; only one of several processes does, and measures latencies meanwhile."""
    it = comparison
    folder = it.request.folder
    with held_if_free(folder / "figures") as refusal:
        if refusal is None:
            results = collected(it.request, it.plan, it.jobs, it.cells, it.work, it.splits)
            results.save(folder)
            log.info("table: %s", write_pages(results, folder))
        else:
            log.info("another process writes the table: %s", refusal)
    if it.work.failures:
        raise DsrnaError(f"{len(it.work.failures)} jobs failed, see above; the same command tries them again.")


def _transfer(comparison: Comparison) -> None:
    """Adds the matrix of transfer attacks to results and pages; one of several processes does."""
    it, settings = comparison, comparison.request.settings
    folder = it.request.folder
    assert settings.transfer is not None
    with held_if_free(folder / FOLDER) as refusal:
        if refusal is not None:
            log.info("another process measures the transfer: %s", refusal)
            return
        results = Results.load(folder)
        fixed = [row for row in settings.rows if row.model is not None]
        models = {digest_of(it.cells.of(Origin(row.name, 0))): row.model for row in fixed}
        plan = TransferPlan(
            threat_of(settings),
            settings.transfer.steps,
            settings.transfer.images,
            settings.evaluate.batch_size,
            device_of(settings.trainer.accelerator),
        )

        def load(one: Trained) -> nn.Module:
            run = RunFolder.open(folder / one.folder)
            stage = network_stage(run.read_evaluation() or {})
            return load_network(run.best_checkpoint(stage), models.get(one.cell))[0]

        mode = settings.trainer.progress
        matrix = transfer_matrix(results.trained, load, it.splits.test, plan, folder / FOLDER, mode)
        results = replace(results, transfer=matrix)
        results.save(folder)
        log.info("transfer: %s", write_pages(results, folder))


COMPARE: Program[ComparisonSettings, Comparison] = Program(
    prepare=prepare,
    check=check,
    stages=stages,
    product=lambda folder: folder.path / PAGE,
)
