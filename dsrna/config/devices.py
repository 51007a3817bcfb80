"""Whether settings go together with the number of processes that train one network."""

from __future__ import annotations

import os

from dsrna.config.objectives import retrain_objective, search_objective
from dsrna.config.settings import Settings
from dsrna.distributed.launcher import launched_from_outside
from dsrna.errors import ConfigError


def processes_of(settings: Settings) -> int:
    """How many there will be: what torchrun has started, or what is asked for."""
    if launched_from_outside(os.environ):
        return int(os.environ["WORLD_SIZE"])
    return settings.trainer.devices


def check_devices(settings: Settings) -> None:
    """Refuses batches that can't be shared evenly, and what one process alone can train.

    Raises:
        ConfigError: names the setting.
    """
    count = processes_of(settings)
    if count == 1:
        return
    threat, sizes, objectives = settings.threat.value, {}, {}
    if "search" in settings.stages:
        sizes["search.batch_size"] = settings.search.batch_size
        where = "search.weights_objective"
        objectives[where] = search_objective(settings.search.weights_objective, where, threat)
    if "retrain" in settings.stages:
        sizes["retrain.batch_size"] = settings.retrain.batch_size
        objectives["objective"] = retrain_objective(settings.objective, "objective", threat)
        if settings.retrain.certified:
            sizes["certified.batch_size"] = settings.certified.batch_size
    most = settings.trainer.limits.batch_size
    for where, size in sizes.items():
        images = size if most is None else min(size, most)
        if images % count:
            raise ConfigError(
                f"Expected batches that {count} processes can share evenly, got {images} images: "
                f"{images - images % count or count} would do. (conf: {where})"
            )
    for where, objective in objectives.items():
        if objective.replays > 1:
            raise ConfigError(
                f"{objective.title} carries a perturbation from batch to batch, which several processes can't share: "
                f"use another objective, or trainer.devices=1. (conf: {where})"
            )
