"""From a comparison's run folders to its results."""

from __future__ import annotations

import torch

from dsrna.comparing.architectures import description_of, digest_of
from dsrna.comparing.cells import Cells
from dsrna.comparing.evaluated import network_cost, trained_network
from dsrna.comparing.jobs import Jobs
from dsrna.comparing.plan import Origin, Plan
from dsrna.comparing.results import FILE, CellCost, Found, Results, RowResults, Trained
from dsrna.comparing.settings import ComparisonSettings, RowSettings
from dsrna.comparing.work import Work
from dsrna.config.catalog import description
from dsrna.config.compose import key_of
from dsrna.config.objectives import retrain_objective
from dsrna.config.validate import threat_of
from dsrna.data.splits import Splits
from dsrna.runs.request import Request
from dsrna.stages.job import at_most
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
        row, seed, architecture = chain.origin.row, chain.training_seed, cells.of(chain.origin)
        digest = digest_of(architecture)
        evaluation = jobs.evaluation(row, architecture, seed).folder
        seconds = jobs.training(row, architecture, seed).seconds
        place = evaluation.path.relative_to(folder).as_posix()
        trained[digest, seed] = trained_network(evaluation, digest, seed, seconds, place)
        if digest not in costs:
            with torch.random.fork_rng(devices=[]):
                network = build_network(description_of(architecture, jobs.shared(row).settings, splits))
            shape, name = splits.test.shape, device_name(device)
            costs[digest] = network_cost(network, shape, before.get(digest), device, name)
    threat = threat_of(settings)
    return Results(
        name=settings.name,
        data=splits.origin,
        threat={"norm": threat.norm, "eps": threat.eps},
        rehearsal=settings.trainer.limits.any,
        recipe=_recipe(settings),
        rows=[_row(row, plan, cells, request.config_folders) for row in settings.rows],
        seeds=list(settings.training_seeds),
        reference=settings.reference or settings.rows[0].name,
        costs=costs,
        trained=list(trained.values()),
        failures=dict(work.failures),
    )


def _row(row: RowSettings, plan: Plan, cells: Cells, config_folders: list[str]) -> RowResults:
    words = {
        "search": searched_by(row.search or [], config_folders),
        "query": " ".join(["search by queries", *(row.query or ())]),
        "consensus": f"consensus of the searches of {row.consensus}",
        "published": f"published cell {row.source}",
        "random": "random cells" + (f" of the size of {row.like}'s" if row.like else ""),
        "model": f"{row.model} {row.model_arguments or ''}".strip(),
    }
    given = {
        "search": row.search,
        "query": row.query,
        "consensus": row.consensus,
        "published": row.source,
        "random": row.random,
        "model": row.model,
    }
    kind = next(kind for kind, value in given.items() if value is not None)
    about, found = row.about or words[kind], [_found(origin, cells) for origin in plan.origins(row)]
    return RowResults(row.name, "search" if kind in ("query", "consensus") else kind, about, found)


def searched_by(overrides: list[str], config_folders: list[str]) -> str:
    """What a row's search is, in words: the first comment of its method's file, and what else was set."""
    method = next((override for override in overrides if key_of(override) == "search_method"), None)
    if method is None:
        return " ".join(["search", *overrides])
    further = [override for override in overrides if override != method]
    return "; ".join([description("search_method", method.partition("=")[2], config_folders), *further])


def _found(origin: Origin, cells: Cells) -> Found:
    known = cells.search_before(origin) is None
    taken = [job.seconds for job in cells.searches(origin) if job.folder.run_json.exists()]
    seconds = sum(taken) if taken else None
    return Found(origin.number, digest_of(cells.of(origin)) if known else None, seconds)


def _recipe(settings: ComparisonSettings) -> str:
    retrain, limits = settings.retrain, settings.trainer.limits
    title = retrain_objective(settings.objective, "objective", threat_of(settings)).title
    sizes = [at_most(getattr(retrain, name), getattr(limits, name)) for name in ("epochs", "cells", "channels")]
    return "{} for {} epochs, {} cells, {} channels".format(title, *sizes)
