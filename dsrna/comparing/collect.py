"""From a comparison's run folders to its results."""

from __future__ import annotations

import torch

from dsrna.comparing.cells import Cells
from dsrna.comparing.evaluated import network_cost, trained_network
from dsrna.comparing.jobs import Jobs, digest_of
from dsrna.comparing.plan import Origin, Plan
from dsrna.comparing.results import FILE, CellCost, Found, Results, RowResults, Trained
from dsrna.comparing.settings import ComparisonSettings, RowSettings
from dsrna.comparing.work import Work
from dsrna.config.objectives import retrain_objective
from dsrna.config.validate import threat_of
from dsrna.data.splits import Splits
from dsrna.runs.request import Request
from dsrna.stages.job import at_most
from dsrna.stages.retrain import describe
from dsrna.training.fit import device_name, device_of
from dsrna.training.trained_network import build_network


def collected(
    request: Request[ComparisonSettings], plan: Plan, jobs: Jobs, cells: Cells, work: Work, splits: Splits
) -> Results:
    """What there is so far; latencies are measured now, one after the other, where they aren't known yet."""
    settings, folder = request.settings, request.folder
    device = device_of(settings.trainer.accelerator)
    before = Results.load(folder).costs if (folder / FILE).exists() else {}
    trained: dict[tuple[str, int], Trained] = {}
    costs: dict[str, CellCost] = {}
    for chain in plan.chains:
        if work.next(chain) is not None:
            continue
        row, seed, genotype = chain.origin.row, chain.training_seed, cells.of(chain.origin)
        digest = digest_of(genotype)
        evaluation = jobs.evaluation(row, genotype, seed).folder
        seconds = jobs.training(row, genotype, seed).seconds
        place = evaluation.path.relative_to(folder).as_posix()
        trained[digest, seed] = trained_network(evaluation, digest, seed, seconds, place)
        if digest not in costs:
            with torch.random.fork_rng(devices=[]):
                network = build_network(describe(jobs.shared(row).settings, splits, genotype))
            shape, name = splits.test.shape, device_name(device)
            costs[digest] = network_cost(network, shape, before.get(digest), device, name)
    threat = threat_of(settings)
    return Results(
        name=settings.name,
        data=splits.origin,
        threat={"norm": threat.norm, "eps": threat.eps},
        rehearsal=settings.trainer.limits.any,
        recipe=_recipe(settings),
        rows=[_row(row, plan, jobs, cells) for row in settings.rows],
        seeds=list(settings.training_seeds),
        reference=settings.reference or settings.rows[0].name,
        costs=costs,
        trained=list(trained.values()),
        failures=dict(work.failures),
    )


def _row(row: RowSettings, plan: Plan, jobs: Jobs, cells: Cells) -> RowResults:
    kind = "search" if row.search is not None else "published" if row.source is not None else "random"
    about = (
        row.about
        or {
            "search": "search" + "".join(f" {override}" for override in row.search or ()),
            "published": f"published cell {row.source}",
            "random": "random cells" + (f" of the size of {row.like}'s" if row.like else ""),
        }[kind]
    )
    return RowResults(row.name, kind, about, [_found(origin, jobs, cells, kind) for origin in plan.origins(row)])


def _found(origin: Origin, jobs: Jobs, cells: Cells, kind: str) -> Found:
    known = cells.search_before(origin) is None
    seconds = None
    if kind == "search":
        search = jobs.search(origin.row, origin.number)
        seconds = search.seconds if search.folder.run_json.exists() else None
    return Found(origin.number, digest_of(cells.of(origin)) if known else None, seconds)


def _recipe(settings: ComparisonSettings) -> str:
    retrain, limits = settings.retrain, settings.trainer.limits
    title = retrain_objective(settings.objective, "objective", threat_of(settings)).title
    sizes = [at_most(getattr(retrain, name), getattr(limits, name)) for name in ("epochs", "cells", "channels")]
    return "{} for {} epochs, {} cells, {} channels".format(title, *sizes)
