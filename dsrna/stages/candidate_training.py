"""Training networks from new weights as a search trains its own, to choose among candidates."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from dsrna.config.objectives import Build, retrain_objective, selection_objective
from dsrna.data.images import ImageDataset
from dsrna.data.loader import BatchLoader
from dsrna.functional.seeding import generator
from dsrna.stages.job import Job, at_most
from dsrna.stages.optimizers import build_optimizer, build_schedule, interval_of
from dsrna.strategies.selection.base import ReportEpoch
from dsrna.strategies.selection.training import train
from dsrna.training.checkpoints import load_checkpoint, save_checkpoint


def train_as_weight_steps(
    job: Job,
    network: nn.Module,
    images: ImageDataset,
    epochs: int,
    checkpoint: Path,
    what: str,
    report: ReportEpoch,
    before_step: Callable[[int], None] = lambda number: None,
    build_objective: Build = retrain_objective,
) -> None:
    """Trains a network in place as a search's weight steps do: their objective, optimiser, schedule, batches, clipping.

    Each epoch that is done is kept in ``checkpoint``, from which a run that was stopped goes on, to the bit.

    Args:
        job: the run.
        network: new, on the run's device.
        images: what it learns from.
        epochs: of training, over which the schedule goes.
        checkpoint: the file; it is written over where it is of another training, and stays when this one is done.
        what: tells this training from others that use the same file.
        report: is told each epoch that is done.
        before_step: is told the number of each step.
        build_objective: see :func:`~dsrna.config.objectives.selection_objective`.
    """
    search, limits, seed = job.settings.search, job.settings.trainer.limits, job.settings.seed
    objective = selection_objective(search, "weights", job.threat, build_objective)
    loader = BatchLoader(
        images, min(at_most(search.batch_size, limits.batch_size), len(images)), seed=seed,
        purpose="selection images", shuffle=True, augmentation=job.augmentation(), drop_last=True,
        replays=objective.replays,
    )  # fmt: skip
    each, epochs = at_most(len(loader), limits.batches), at_most(epochs, limits.epochs)
    # Never fused: until each path was drawn, some steps would be, and others not, and the two round differently.
    node = search.weights_optimizer | ({"fused": False} if "fused" in search.weights_optimizer else {})
    optimizer = build_optimizer(node, "search.weights_optimizer", network.parameters())
    schedule = build_schedule(
        search.weights_schedule, "search.weights_schedule", optimizer, epochs=epochs, steps_per_epoch=each
    )
    interval = 1 if interval_of(search.weights_schedule) == "step" else each
    done = 0
    found = load_checkpoint(checkpoint) if checkpoint.exists() else None
    if found is not None and (found["what"], found["of"]) == (what, epochs):
        network.load_state_dict(found["network"])
        optimizer.load_state_dict(found["optimizer"])
        if schedule is not None:
            schedule.load_state_dict(found["schedule"])
        objective.load_state(found["objective"])
        done = found["epochs"]
        report(done, found["loss"])
    for epoch in range(done, epochs):
        first = epoch * each

        def noise(number: int, first: int = first) -> torch.Generator:
            return generator(seed, "selection noise", first + number)

        def before(number: int, first: int = first) -> None:
            objective.advance((first + number) / (epochs * each))
            before_step(first + number)

        def after(number: int, first: int = first) -> None:
            if schedule is not None and (first + number + 1) % interval == 0:
                schedule.step()

        loss = train(
            network, objective, islice(loader.batches(epoch), each), optimizer, gradient_clip=search.gradient_clip,
            noise=noise, before_step=before, after_step=after,
        )  # fmt: skip
        save_checkpoint(
            checkpoint,
            {
                "what": what, "of": epochs, "epochs": epoch + 1, "loss": loss, "network": network.state_dict(),
                "optimizer": optimizer.state_dict(), "schedule": None if schedule is None else schedule.state_dict(),
                "objective": objective.state(),
            },
        )  # fmt: skip
        report(epoch + 1, loss)
