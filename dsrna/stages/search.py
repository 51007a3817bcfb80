"""Stage 1: search, and derive the genotype."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from dsrna.config.objectives import search_objective
from dsrna.config.parts import build_part
from dsrna.config.search_parts import build_regularisers, build_search_schedules, metric_weight, search_epochs
from dsrna.config.settings import Settings
from dsrna.data.loader import BatchLoader, PairedLoader
from dsrna.data.splits import Splits, search_halves
from dsrna.distributed import group
from dsrna.files import write_json
from dsrna.functional.seeding import derive_seed, generator
from dsrna.metrics.base import RobustnessMetric
from dsrna.nn.edges.implementation import use_implementation
from dsrna.objectives.base import Objective
from dsrna.spaces import genotype_codec
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.stages.evidence import weigh_evidence
from dsrna.stages.job import Job, at_most
from dsrna.stages.optimizers import build_optimizer, build_schedule, interval_of
from dsrna.stages.selecting import plain, select_genotype
from dsrna.stages.verdict import write_verdict
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.strategies.strategy import Strategy
from dsrna.training.architecture_history import ArchitectureHistory
from dsrna.training.fit import device_of, fit
from dsrna.training.rng import seed_all
from dsrna.training.search_module import SearchModule

log = logging.getLogger("dsrna")


def search(job: Job) -> None:
    """Searches; writes ``genotype.json``, ``search/architecture.json``, ``search/evidence.json`` and, where tables know
    the genotype, ``verdict.json``.
    """
    settings, search, limits = job.settings, job.settings.search, job.settings.trainer.limits
    splits = job.splits
    weights_half, architecture_half = search_halves(splits, settings.seed, search.weights_fraction)
    epochs, warmup = search_epochs(settings)

    def objective(kind: str, node: Any) -> Objective:
        return search_objective(node, f"search.{kind}", job.threat)

    weights_objective = objective("weights_objective", search.weights_objective)

    def loader(half: Any, purpose: str, shuffle: bool = True) -> BatchLoader:
        return BatchLoader(
            half,
            min(at_most(search.batch_size, limits.batch_size), len(half)),
            seed=settings.seed,
            purpose=f"search {purpose}",
            shuffle=shuffle,
            augmentation=job.augmentation() if shuffle else None,
            drop_last=shuffle,
            in_parts=shuffle,
        )

    train = PairedLoader(loader(weights_half, "weights"), loader(architecture_half, "architecture"))
    train.first.replays = weights_objective.replays
    seed_all(derive_seed(settings.seed, "search"))
    strategy: Strategy = build_part(settings.strategy, "strategy")
    supernet = build_supernet(settings, splits, job.space, strategy)
    weights_objective.initialise(supernet)
    job.sync_batchnorm(supernet)
    architecture = strategy.initial(job.space, generator(settings.seed, "alphas"))
    regularisers = build_regularisers(settings)
    for regulariser in regularisers:
        regulariser.prepare(job.space, supernet, architecture)

    def make_supernet(number: int, **sizes: int) -> Supernet:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(settings.seed, "supernet", number))
            made = build_supernet(settings, splits, job.space, strategy, **sizes)
            weights_objective.initialise(made)
        job.sync_batchnorm(made)
        use_implementation(made, search.implementation, device_of(settings.trainer.accelerator).type)
        return made

    schedules = build_search_schedules(settings)
    for schedule in schedules:
        schedule.prepare(make_supernet)

    def optimizers(weights: list[nn.Parameter], alphas: list[nn.Parameter]) -> tuple[Any, Any, Any]:
        of_weights = build_optimizer(search.weights_optimizer, "search.weights_optimizer", weights)
        of_alphas = build_optimizer(search.alphas_optimizer, "search.alphas_optimizer", alphas)
        schedule = build_schedule(
            search.weights_schedule, "search.weights_schedule", of_weights, epochs=epochs, steps_per_epoch=len(train)
        )
        return of_weights, of_alphas, schedule

    def write(history: ArchitectureHistory) -> None:
        write_json(job.folder.architecture_json, history.to_json())

    weight = metric_weight(settings)
    metric = build_part(settings.metric.part, "metric") if weight.weight > 0 else None
    if metric is not None:
        warn_of_ignoring_the_input(metric)
    module = SearchModule(
        RelaxedSupernet(supernet, architecture, regularisers),
        job.space,
        weights_objective=weights_objective,
        architecture_objective=objective("architecture_objective", search.architecture_objective),
        hypergradient=build_part(settings.hypergradient, "hypergradient"),
        metric=metric,
        metric_weight=weight,
        metric_join=build_part(settings.metric_join, "metric_join"),
        warmup_epochs=warmup,
        gradient_clip=search.gradient_clip,
        make_optimizers=optimizers,
        schedules=schedules,
        make_supernet=make_supernet,
        on_epoch=write,
        stage="search",
        seed=settings.seed,
        fingerprint=job.fingerprint,
        epochs=epochs,
        schedule_interval=interval_of(search.weights_schedule),
    )
    log.info(
        "supernet: implementation %s",
        use_implementation(supernet, search.implementation, device_of(settings.trainer.accelerator).type),
    )
    log.info(
        "search: %d epochs of %d steps, supernet with %.3f M parameters",
        epochs, at_most(len(train), limits.batches), sum(p.numel() for p in supernet.parameters()) / 1e6,
    )  # fmt: skip
    validation = loader(architecture_half, "validation", shuffle=False)
    fit(module, train, validation, job.folder, job.trainer_options(), job.dashboard.loggers)
    if not group.leads():
        return
    supernet, expected = module.model.supernet, module.model.architecture.expected()  # a schedule may have replaced it

    def new_supernet() -> Supernet:
        return build_supernet(settings, splits, job.space, strategy, partial_channels=1)

    selected = select_genotype(job, supernet, expected, weights_half, architecture_half, new_supernet)
    genotype_codec.save(selected.genotype, job.folder.genotype_json)
    log.info("genotype: %s", job.folder.genotype_json)
    job.dashboard.log_file("genotype", job.folder.genotype_json)
    job.dashboard.log_table("operation_weights", module.history.table())
    write_verdict(job.folder, settings.data)
    weigh_evidence(job, supernet, expected, selected.genotype, weights_half, new_supernet, plain(selected))
    for checkpoint in job.folder.candidate_checkpoints:  # nothing goes on from them any more
        checkpoint.unlink()


def warn_of_ignoring_the_input(metric: RobustnessMetric) -> None:
    """Says so where a search may raise its metric by choosing cells that don't look at the image."""
    if metric.rewards_ignoring_the_input:
        log.warning(
            "metric %s: a network that ignores its input may score best, and searches have ended in such cells: watch "
            "the operation weights of none, and lower the weight if they rise. (conf: metric.weight)",
            type(metric).__name__,
        )


def build_supernet(
    settings: Settings, splits: Splits, space: SearchSpace, strategy: Strategy, **sizes: int
) -> Supernet:
    """A fresh supernet for these images, of the settings' sizes but for those that are given."""
    search, limits = settings.search, settings.trainer.limits
    return space.supernet(
        shape=splits.train.shape,
        classes=splits.train.classes,
        cells=at_most(sizes.get("cells", search.cells), limits.cells),
        channels=at_most(search.channels, limits.channels),
        partial_channels=sizes.get("partial_channels", strategy.partial_channels),
        mean=splits.mean,
        std=splits.std,
    )
