"""Stage 2: retrain the derived network from scratch; and, to compare with, on certified bounds or without adversary."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from dsrna.attacks.pgd import PGD
from dsrna.config.objectives import retrain_objective
from dsrna.config.settings import CertifiedSettings, RetrainSettings, Settings
from dsrna.data.loader import BatchLoader
from dsrna.data.splits import Splits
from dsrna.distributed import group
from dsrna.functional.seeding import derive_seed
from dsrna.objectives.base import Objective
from dsrna.objectives.standard import Standard
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype
from dsrna.stages.external import described_model
from dsrna.stages.job import Job, at_most
from dsrna.stages.optimizers import build_optimizer, build_schedule, interval_of
from dsrna.training.fit import fit
from dsrna.training.retrain_module import RetrainModule
from dsrna.training.rng import seed_all
from dsrna.training.trained_network import NetworkDescription, build_network, save_network

log = logging.getLogger("dsrna")


def retrain(job: Job) -> None:
    """Trains the genotype on the chosen objective and writes ``retrain/best.ckpt``."""
    objective = retrain_objective(job.settings.objective, "objective", job.threat)
    _train(job, "retrain", objective, job.settings.retrain, job.settings.retrain.drop_path)


def certified(job: Job) -> None:
    """Trains the same network, sizes and batches on certified bounds and writes ``certified/best.ckpt``."""
    settings = job.settings.certified
    objective = retrain_objective(settings.objective, "certified.objective", job.threat)
    _train(job, "certified", objective, settings, drop_path=0.0)


def baseline(job: Job) -> None:
    """Trains the same network from the same start without adversary and writes ``baseline/best.ckpt``."""
    _train(job, "baseline", Standard(), job.settings.retrain, job.settings.retrain.drop_path)


def describe(settings: Settings, splits: Splits, genotype: Genotype) -> NetworkDescription:
    """A genotype's network that is retrained, of the settings' sizes for these images."""
    retrain, limits = settings.retrain, settings.trainer.limits
    return NetworkDescription(
        genotype=genotype_codec.to_json(genotype),
        shape=list(splits.train.shape),
        classes=splits.train.classes,
        sizes={
            "cells": at_most(retrain.cells, limits.cells),
            "channels": at_most(retrain.channels, limits.channels),
            "auxiliary": retrain.auxiliary,
            "stem": retrain.stem,
            "mean": list(splits.mean),
            "std": list(splits.std),
        },
    )


def _train(
    job: Job, stage: str, objective: Objective, training: RetrainSettings | CertifiedSettings, drop_path: float
) -> None:
    settings, retrain, limits = job.settings, job.settings.retrain, job.settings.trainer.limits
    where = "certified" if stage == "certified" else "retrain"
    splits = job.splits
    epochs, batch_size = at_most(training.epochs, limits.epochs), at_most(training.batch_size, limits.batch_size)
    train = BatchLoader(
        splits.train,
        min(batch_size, len(splits.train)),
        seed=settings.seed,
        purpose="retrain",
        shuffle=True,
        augmentation=job.augmentation(retrain.cutout),
        drop_last=True,
        in_parts=True,
        replays=objective.replays,
    )
    validation = BatchLoader(splits.validation, batch_size, seed=settings.seed, purpose="selection", shuffle=False)
    # The same seed for all: the baseline starts from the same weights and sees the same batches.
    seed_all(derive_seed(settings.seed, "retrain"))
    description = (
        described_model(settings, splits)
        if settings.model is not None
        else describe(settings, splits, genotype_codec.load(job.folder.genotype_json))
    )
    network = build_network(description)
    objective.initialise(network)
    job.sync_batchnorm(network)

    def optimizer(weights: list[nn.Parameter]) -> tuple[Any, Any]:
        made = build_optimizer(training.optimizer, f"{where}.optimizer", weights)
        steps = len(train)
        return made, build_schedule(training.schedule, f"{where}.schedule", made, epochs=epochs, steps_per_epoch=steps)

    def keep(weights: dict[str, torch.Tensor], numbers: dict[str, float]) -> None:
        save_network(job.folder.best_checkpoint(stage), description, weights, objective.title, numbers)

    module = RetrainModule(
        network,
        objective=objective,
        selection_attack=PGD(job.threat.norm, job.threat.eps, steps=retrain.selection_steps),
        robust_first=not isinstance(objective, Standard),
        keep_last=retrain.keep == "last",
        drop_path=drop_path if settings.model is None else 0.0,  # its paths are its own
        ema_decay=retrain.ema_decay,
        noise=retrain.noise,
        gradient_clip=training.gradient_clip,
        torch_compile=retrain.torch_compile and stage != "certified",
        make_optimizer=optimizer,
        on_best=keep,
        stage=stage,
        seed=settings.seed,
        fingerprint=job.fingerprint,
        epochs=epochs,
        schedule_interval=interval_of(training.schedule),
    )
    log.info(
        "%s: %s, %s, %d epochs, %.3f M parameters",
        stage, objective.title, job.threat.label, epochs, sum(p.numel() for p in network.parameters()) / 1e6,
    )  # fmt: skip
    fit(module, train, validation, job.folder, job.trainer_options(), job.dashboard.loggers)
    if group.leads():
        job.dashboard.log_file("model", job.folder.best_checkpoint(stage))
