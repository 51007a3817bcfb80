"""What a search of NAS-Bench-201 at a given size can know: single architectures, trained alone at its size and budget.

Run: ``python experiments/nb201_search/proxy_ceiling.py train --out FILE.jsonl +experiment=nb201_darts data.root=DATA``;
what follows ``--out`` are overrides of a search, whose images, sizes, epochs and optimiser of the weights are taken.
A network learns from the half for weight steps and is measured on the half for architecture steps. One line an
architecture, seed and objective; an interrupted run goes on when it is started again. Then ``… report FILE.jsonl …
--root DATA`` says how the measurements rank the architectures, beside the published tables.

The architectures: 12 spread evenly over the ranks of NAS-RobBench-201's PGD 8/255 column, and ``333s33`` with eleven
single swaps: each of its 3x3 convolutions replaced by a skip and by a 1x1 convolution, its skip by a 3x3 convolution.
Cells are written as the operations of the edges in string order: - none, s skip, 1 conv1x1, 3 conv3x3, p pool.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ceiling_report import report
from cells import BASE, SWAPS, architecture, spread
from torch import nn

from dsrna.attacks.pgd import PGD
from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.config.compose import compose
from dsrna.config.settings import Settings
from dsrna.config.validate import threat_of, validated
from dsrna.data.augmentation import Augmentation
from dsrna.data.images import ImageDataset
from dsrna.data.loader import BatchLoader
from dsrna.data.splits import search_halves
from dsrna.functional.seeding import derive_seed, generator
from dsrna.json_files import append_line, read_lines
from dsrna.nn.modes import evaluation_mode
from dsrna.objectives.base import Objective
from dsrna.objectives.fast import FastAdversarial
from dsrna.objectives.standard import Standard
from dsrna.progress import Progress
from dsrna.runs.sources import load_splits
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.stages.optimizers import build_optimizer, build_schedule, interval_of
from dsrna.strategies.selection.training import train
from dsrna.training.rng import seed_all
from dsrna.types import Threat

OBJECTIVES: dict[str, type[Objective]] = {"standard": Standard, "fast": FastAdversarial}
ATTACKED = 2000
"""Images of each attack."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    train = commands.add_parser("train")
    train.add_argument("--out", type=Path, required=True)
    train.add_argument("--seeds", type=int, nargs="+", default=[0])
    train.add_argument("--objective", choices=OBJECTIVES, default="standard")
    train.add_argument("--cells", nargs="+", help="six letters each, instead of the 24")
    train.add_argument("overrides", nargs="+", help="of a search")
    shown = commands.add_parser("report")
    shown.add_argument("files", type=Path, nargs="+")
    shown.add_argument("--root", type=Path, required=True, help="folder of the published tables")
    chosen = parser.parse_args()
    if chosen.command == "report":
        report({path: [line for _, line in read_lines(path, dict[str, Any])] for path in chosen.files}, chosen.root)
        return
    torch.set_num_threads(1)
    for seed in chosen.seeds:
        measure_all(chosen.out, seed, chosen.objective, chosen.cells, chosen.overrides)


def measure_all(out: Path, seed: int, objective: str, cells: list[str] | None, overrides: list[str]) -> None:
    """Adds a line for each architecture that has none of this seed, objective and size."""
    settings = validated(compose("search", [*overrides, f"seed={seed}"]))
    root = Path(settings.data.root) if settings.data.root else None
    size = size_of(settings)
    cells = cells or [*spread(NasRobBench201(root or Path())), BASE, *SWAPS]
    about = {"seed": seed, "objective": objective, "size": size}
    done = {line["cell"] for _, line in read_lines(out, dict[str, Any]) if about == {key: line[key] for key in about}}
    todo = [cell for cell in cells if cell not in done]
    if not todo:
        return
    splits = load_splits(settings)
    halves = search_halves(splits, seed, settings.search.weights_fraction)
    with Progress(f"{out.stem}, seed {seed}, {objective}", len(cells), done=len(cells) - len(todo)) as bar:
        for cell in todo:
            seed_all(derive_seed(seed, "weights"))
            network = Nasbench201Space().network(
                Nasbench201Space().genotype(architecture(cell)), splits.train.shape, splits.train.classes,
                cells=settings.search.cells, channels=settings.search.channels, mean=splits.mean, std=splits.std,
            )  # fmt: skip
            began = time.process_time()
            loss = trained(network, OBJECTIVES[objective](threat_of(settings)), halves[0], settings)
            seconds = time.process_time() - began
            found = measured(network, halves[1], objective, settings)
            append_line(out, {"cell": cell, **about, "train_loss": loss, **found, "cpu_seconds": round(seconds, 1)})
            bar.advance(1, {"cell": cell, "acc": found["acc"], "s": seconds})


def size_of(settings: Settings) -> dict[str, Any]:
    """What is to be found: pixels, channels, cells, epochs."""
    search, data = settings.search, settings.data
    return {
        "pixels": data.pixels, "images": data.train_limit, "channels": search.channels, "cells": search.cells,
        "epochs": search.epochs, "batch_size": search.batch_size, "lr": search.weights_optimizer["lr"],
    }  # fmt: skip


def trained(network: nn.Module, objective: Objective, images: ImageDataset, settings: Settings) -> float:
    """Trains as a search's weight steps do, on a network alone; the mean loss of the last epoch."""
    search, chosen = settings.search, settings.data.augmentation
    loader = BatchLoader(
        images, search.batch_size, seed=settings.seed, purpose="search weights", shuffle=True, drop_last=True,
        augmentation=Augmentation(chosen.crop_padding, chosen.horizontal_flip),
    )  # fmt: skip
    optimizer = build_optimizer(search.weights_optimizer, "search.weights_optimizer", network.parameters())
    schedule = build_schedule(
        search.weights_schedule, "search.weights_schedule", optimizer, epochs=search.epochs, steps_per_epoch=len(loader)
    )
    interval = 1 if interval_of(search.weights_schedule) == "step" else len(loader)

    def after_step(number: int) -> None:
        if schedule is not None and (number + 1) % interval == 0:
            schedule.step()

    loss = 0.0
    for epoch in range(search.epochs):
        first = epoch * len(loader)
        loss = train(
            network,
            objective,
            loader.batches(epoch),
            optimizer,
            gradient_clip=search.gradient_clip,
            noise=lambda number, epoch=epoch: generator(settings.seed, "attack", epoch, number),
            after_step=lambda number, first=first: after_step(first + number),
        )
    return loss


def measured(network: nn.Module, images: ImageDataset, objective: str, settings: Settings) -> dict[str, float]:
    """Loss and accuracy on all held-out images, and under PGD-10 on some.

    The attack is at the threat's eps for networks trained on it, at an eighth of it for others.
    """
    threat = threat_of(settings)
    sums = {"loss": 0.0, "acc": 0.0}
    if objective == "fast":
        sums |= {"fgsm_loss": 0.0, "fgsm_acc": 0.0}
    fgsm = PGD(threat.norm, threat.eps, steps=1, step_size=threat.eps)
    for number, (x, y) in enumerate(batches(images, len(images))):
        looks = {"": x}
        if objective == "fast":
            looks["fgsm_"] = fgsm(network, x, y, generator(settings.seed, "fgsm", number))
        for prefix, seen in looks.items():
            with evaluation_mode(network), torch.no_grad():
                logits = network(seen)
            sums[prefix + "loss"] += nn.functional.cross_entropy(logits, y, reduction="sum").item()
            sums[prefix + "acc"] += (logits.argmax(1) == y).sum().item()
    found = {name: value / len(images) for name, value in sums.items()}
    ball, right = Threat(threat.norm, threat.eps / 8 if objective == "standard" else threat.eps), 0.0
    attack, attacked_loss = PGD(ball.norm, ball.eps, steps=10), 0.0
    for number, (x, y) in enumerate(batches(images, ATTACKED)):
        attacked = attack(network, x, y, generator(settings.seed, "measured", number))
        with evaluation_mode(network), torch.no_grad():
            logits = network(attacked)
        right += (logits.argmax(1) == y).sum().item()
        attacked_loss += nn.functional.cross_entropy(logits, y, reduction="sum").item()
    return {**found, "pgd_loss": attacked_loss / ATTACKED, "pgd": right / ATTACKED}


def batches(images: ImageDataset, count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """``count`` images spread evenly over all of them, as they are."""
    for indices in (torch.arange(count) * len(images) // count).split(200):
        yield images.batch(indices)


if __name__ == "__main__":
    main()
