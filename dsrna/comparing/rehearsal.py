"""A few steps of everything, from which the cost of the whole is extrapolated."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dsrna.attacks.pgd import PGD
from dsrna.comparing.architectures import Architecture, FixedNetwork, description_of
from dsrna.comparing.jobs import Composed, Job
from dsrna.config.objectives import retrain_objective
from dsrna.config.search_parts import search_epochs
from dsrna.config.settings import LoggerSettings, Settings
from dsrna.config.validate import threat_of
from dsrna.data.images import ImageDataset
from dsrna.data.splits import Splits, search_halves
from dsrna.functional.multiply_adds import multiply_adds
from dsrna.functional.seeding import generator
from dsrna.run_folder import RunFolder
from dsrna.runs.request import Request
from dsrna.spaces import genotype_codec
from dsrna.stages.evaluation_cost import pass_seconds, seconds_of
from dsrna.stages.evaluation_passes import evaluation_passes
from dsrna.stages.job import at_most
from dsrna.stages.run import STAGES, Opened
from dsrna.training.fit import device_of
from dsrna.training.trained_network import Description, build_network

_EPOCHS, _BATCHES = 4, 2
"""Of a rehearsed search: two epochs of weight steps, two with architecture steps; the first of each warms up."""
_TRAINING_EPOCHS, _TRAINING_BATCHES = 2, 8
"""Of a rehearsed training, the first epoch of which warms up; so many batches where a whole batch costs little."""
_AFFORDABLE = 4e9
"""Multiply-adds of a forward pass of a rehearsed batch on a CPU, where an image's cost hardly depends on the batch."""
_SMALL_SIDE, _FEW_IMAGES = 16, 4
"""So many images a batch where images have longer sides than this, or a whole batch costs too much."""


def search_seconds(job: Job, outer: Request[Any], splits: Splits) -> float:
    """What a search will take, but for its selection.

    Half of its epochs' validation is counted too often, as it comes with every batch here; that is a few per cent.
    """
    settings = job.settings
    assert isinstance(settings, Settings)
    half, _ = search_halves(splits, settings.seed, settings.search.weights_fraction)
    epochs, warmup = search_epochs(settings)
    limits = settings.trainer.limits
    batch_size = min(at_most(settings.search.batch_size, limits.batch_size), len(half))
    steps = at_most(max(1, len(half) // batch_size), limits.batches)
    small = max(splits.train.shape[1:]) <= _SMALL_SIDE or device_of(settings.trainer.accelerator).type != "cpu"
    rehearsed_size = batch_size if small else min(batch_size, _FEW_IMAGES)
    short = settings.model_copy(
        update={
            "search": settings.search.model_copy(update={"epochs": _EPOCHS, "warmup_epochs": _EPOCHS // 2}),
            **_quietly(settings, min(_BATCHES, steps), rehearsed_size),
        }
    )
    taken, _ = short_run("search", short, replace(outer, fingerprint=job.fingerprint), splits)
    scale = batch_size / rehearsed_size * steps / min(_BATCHES, steps)
    return scale * (warmup * taken[1] + (epochs - warmup) * taken[3])


def training_seconds(
    composed: Composed[Settings], outer: Request[Any], splits: Splits, architecture: Architecture
) -> float:
    """What a network's training will take: its steps and the attack on the validation split after every epoch, as much
    longer as two short epochs of a real training take than these alone, and the start of that training."""
    settings, retrain, limits = composed.settings, composed.settings.retrain, composed.settings.trainer.limits
    threat, device = threat_of(settings), device_of(settings.trainer.accelerator)
    description = description_of(architecture, settings, splits)
    network = build_network(description).to(device).train()
    objective = retrain_objective(settings.objective, "objective", threat)
    objective.initialise(network)
    weights = list(network.parameters())
    batch_size = min(at_most(retrain.batch_size, limits.batch_size), len(splits.train))
    count = min(batch_size, _affordable(settings, splits, description))
    x, y = _first(splits.train, count, device)
    selection = PGD(threat.norm, threat.eps, steps=retrain.selection_steps)

    def step() -> None:
        result = objective(network, x, y, generator(0, "rehearsal"), network.forward_with_auxiliary)
        for loss in [result.loss] if result.again is None else [result.loss, result.again.loss()]:
            torch.autograd.grad(loss, weights, allow_unused=True)

    a_step = seconds_of(step, device) / count
    a_validation = seconds_of(lambda: selection(network, x, y, generator(0, "rehearsal")), device) / count
    epochs = at_most(retrain.epochs, limits.epochs)
    steps = at_most(max(1, len(splits.train) // batch_size), limits.batches)
    validated = at_most(len(splits.validation), None if limits.batches is None else limits.batches * batch_size)
    few, batches = (count, _TRAINING_BATCHES) if count == batch_size else (min(count, _FEW_IMAGES), _BATCHES)
    batches = min(batches, steps)
    taken, whole = _short_training(settings, outer, splits, architecture, few, batches)
    told = batches * few * a_step + min(len(splits.validation), batches * few) * a_validation
    longer, once = max(1.0, taken[-1] / told), max(0.0, whole - sum(taken))
    return once + epochs * longer * (steps * batch_size * a_step + validated * a_validation)


def _short_training(
    settings: Settings, outer: Request[Any], splits: Splits, architecture: Architecture, batch_size: int, batches: int
) -> tuple[list[float], float]:
    """Seconds of each of two epochs of so many batches, and of the whole stage."""
    with tempfile.TemporaryDirectory() as folder:
        update: dict[str, Any] = {"stages": ["retrain"], **_quietly(settings, batches, batch_size)}
        update["retrain"] = settings.retrain.model_copy(update={"epochs": _TRAINING_EPOCHS})
        if not isinstance(architecture, FixedNetwork):
            update["start_from"] = str(Path(folder) / "genotype.json")
            genotype_codec.save(architecture, Path(update["start_from"]))
        return short_run("retrain", settings.model_copy(update=update), outer, splits)


def short_run(stage: str, settings: Settings, outer: Request[Any], splits: Splits) -> tuple[list[float], float]:
    """Does a stage in a folder of its own, and forgets what it gave; seconds of each epoch, and of the whole."""
    with tempfile.TemporaryDirectory() as folder:
        request, began = replace(outer, settings=settings, folder=Path(folder), kind=stage), time.perf_counter()
        with STAGES.working(Opened(request, splits), True) as opened:
            STAGES.stages(settings)[stage](opened)
        whole, records = time.perf_counter() - began, RunFolder(Path(folder)).read_metrics()
    return [record[f"{stage}/seconds"] for record in records if record.get("kind") == "epoch"], whole


def _quietly(settings: Settings, batches: int, batch_size: int) -> dict[str, Any]:
    """Settings of a rehearsed stage: so many batches an epoch, in one process, nothing logged elsewhere."""
    limits = settings.trainer.limits.model_copy(update={"batches": batches, "batch_size": batch_size, "epochs": None})
    trainer = settings.trainer.model_copy(update={"progress": "off", "limits": limits, "devices": 1})
    return {"logger": LoggerSettings(kind="none"), "trainer": trainer}


def evaluation_seconds(composed: Composed[Settings], splits: Splits, architecture: Architecture) -> float:
    """What an evaluation will take at most: as if every image withstood every attack. Verification isn't counted."""
    settings = composed.settings
    device, description = device_of(settings.trainer.accelerator), description_of(architecture, settings, splits)
    network = build_network(description).to(device)
    count = min(settings.evaluate.batch_size, len(splits.test), _affordable(settings, splits, description))
    x, _ = _first(splits.test, count, device)
    a_forward, a_backward = pass_seconds(network, x)
    forwards, backwards = evaluation_passes(settings, splits)
    return forwards * a_forward + backwards * a_backward


def _affordable(settings: Settings, splits: Splits, description: Description) -> int:
    """Images of a rehearsed batch."""
    if device_of(settings.trainer.accelerator).type != "cpu":
        return 2**31
    with torch.device("meta"):
        network, x = build_network(description).eval(), torch.zeros(1, *splits.train.shape)
    return max(2, int(_AFFORDABLE / max(1, multiply_adds(network, x))))


def _first(images: ImageDataset, count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = images.batch(torch.arange(min(count, len(images))))
    return x.to(device), y.to(device)
