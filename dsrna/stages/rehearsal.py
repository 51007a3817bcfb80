"""A rehearsal on paper: what a later stage would refuse is refused before the first one starts."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from dsrna.config.parts import build_part, located
from dsrna.config.settings import CertifiedSettings, RetrainSettings, Settings
from dsrna.config.validate import corruption_sweep, spatial, threat_of, verification
from dsrna.data.augmentation import Augmentation
from dsrna.data.splits import Splits, search_halves
from dsrna.errors import ConfigError
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.stages.external import described_model
from dsrna.stages.job import at_most
from dsrna.stages.optimizers import build_optimizer, build_schedule
from dsrna.stages.retrain import describe
from dsrna.stages.search import build_supernet
from dsrna.strategies.strategy import Strategy
from dsrna.training.trained_network import Description, build_network
from dsrna.types import CellWeights


def rehearse(settings: Settings, splits: Splits, stages: Collection[str], genotype: Genotype | None) -> None:
    """Builds what the stages will build, on torch's meta device: with true shapes, without memory.

    Args:
        settings: validated.
        splits: the data; what it has to do with the settings can't be checked without it.
        stages: those of this job.
        genotype: what the retrain stage starts from; None where the search is yet to find it.

    Raises:
        ConfigError: sizes, optimisers or schedules don't fit the data or one another.
        DataError: there are too few images for the search's two halves, or images can't be corrupted.
        MissingPartError: a bound engine lacks its library.
    """
    _check_images(settings, splits)
    space: SearchSpace = build_part(settings.space, "space")
    if "search" in stages:
        _rehearse_search(settings, splits, space)
    if "retrain" in stages:
        network = (
            described_model(settings, splits)
            if settings.model is not None
            else describe(settings, splits, genotype or _any_genotype(space))
        )
        _rehearse_retraining(settings, splits, network)
    if "evaluate" in stages and (verified := verification(settings)) is not None:
        with located("evaluate.verify"):
            verified.check_engines()
    if "evaluate" in stages and (grid := spatial(settings)) is not None:
        grid.check_usable(splits.test.shape)
    if "evaluate" in stages and (sweep := corruption_sweep(settings)) is not None:
        with located("evaluate.corruptions"):
            sweep.check_usable(splits.test.shape)


def _check_images(settings: Settings, splits: Splits) -> None:
    threat, values = threat_of(settings), math.prod(splits.train.shape)
    if threat.norm == "l2" and threat.eps > math.sqrt(values):
        raise ConfigError(
            f"Expected `eps` of at most {math.sqrt(values):.4g}, the diagonal of all images of {values} values in "
            f"[0, 1], got {threat.eps:g}; did you mean {threat.eps:g}/255? (conf: threat.eps)"
        )
    chosen = settings.data.augmentation
    Augmentation(chosen.crop_padding, chosen.horizontal_flip, settings.retrain.cutout).check_fits(
        *splits.train.shape[1:]
    )


def _rehearse_search(settings: Settings, splits: Splits, space: SearchSpace) -> None:
    search, limits = settings.search, settings.trainer.limits
    weights_half, _ = search_halves(splits, settings.seed, search.weights_fraction)
    strategy: Strategy = build_part(settings.strategy, "strategy")
    with located("search"), torch.device("meta"):
        build_supernet(settings, splits, space, strategy)
    _rehearse_optimizer(search.alphas_optimizer, "search.alphas_optimizer")
    optimizer = _rehearse_optimizer(search.weights_optimizer, "search.weights_optimizer")
    build_schedule(
        search.weights_schedule,
        "search.weights_schedule",
        optimizer,
        epochs=at_most(search.epochs, limits.epochs),
        steps_per_epoch=max(1, len(weights_half) // at_most(search.batch_size, limits.batch_size)),
    )


def _rehearse_retraining(settings: Settings, splits: Splits, network: Description) -> None:
    retrain, limits = settings.retrain, settings.trainer.limits
    with located("retrain" if settings.model is None else "model"), torch.device("meta"):
        build_network(network)
    trainings: dict[str, RetrainSettings | CertifiedSettings] = {"retrain": retrain}
    if retrain.certified:
        trainings["certified"] = settings.certified
    for where, training in trainings.items():
        build_schedule(
            training.schedule,
            f"{where}.schedule",
            _rehearse_optimizer(training.optimizer, f"{where}.optimizer"),
            epochs=at_most(training.epochs, limits.epochs),
            steps_per_epoch=max(1, len(splits.train) // at_most(training.batch_size, limits.batch_size)),
        )


def _rehearse_optimizer(node: dict[str, Any], where: str) -> torch.optim.Optimizer:
    return build_optimizer(node, where, [nn.Parameter(torch.zeros(1))])


def _any_genotype(space: SearchSpace) -> Genotype:
    equal = {}
    for cell_type in space.cell_types:
        edges, operations = len(space.edges(cell_type)), len(space.primitives)
        equal[cell_type] = CellWeights(torch.full((edges, operations), 1 / operations))
    return space.derive(equal)
