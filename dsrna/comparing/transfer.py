"""Black-box transfer: adversarial images made on each network of a comparison, shown to each other one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsrna.attacks import PGD
from dsrna.comparing.results import Trained
from dsrna.data.images import ImageDataset
from dsrna.evaluation.bench import Bench, accuracy_of
from dsrna.evaluation.identity import network_checksum
from dsrna.files import write_atomically
from dsrna.functional.seeding import generator
from dsrna.progress import Progress, duration
from dsrna.types import Threat

log = logging.getLogger("dsrna")

FOLDER = "transfers"


@dataclass(frozen=True)
class TransferPlan:
    """What is measured.

    Attributes:
        threat: the ball in which images are made.
        steps: of PGD on the cross-entropy from a random start, whose last images are taken, also where they fooled
            nobody: what fails on a robust network may break others.
        images: the first so many of the test split.
        batch_size: images at once.
        device: where networks run.
    """

    threat: Threat
    steps: int
    images: int
    batch_size: int
    device: torch.device

    @property
    def label(self) -> str:
        return f"PGD-{self.steps}"


def transfer_matrix(
    networks: Sequence[Trained],
    load: Callable[[Trained], nn.Module],
    dataset: ImageDataset,
    plan: TransferPlan,
    folder: Path,
    mode: str = "off",
) -> dict[str, Any]:
    """Accuracy of every network on images that were made on every network.

    An image counts where the target is right on the clean image and on the one that was made. On the diagonal stands
    the white-box attack. What a pair gave is in ``folder/…/SOURCE/TARGET.json``, from which the same call goes on;
    further networks cost their own pairs alone.

    Cost: for each network ``steps`` forward and backward passes an image, for each pair one forward pass.

    Args:
        networks: with their outcomes on clean images.
        load: gives one of them, trained, on the CPU.
        dataset: the test split.
        plan: what is measured.
        folder: where the files go.
        mode: of the progress bar.

    Returns:
        ``{"attack": label, "images": M, "networks": [[cell, seed], …], "accuracy": rows of sources, columns of targets,
        "interval": [low, high] of each}``.

    Raises:
        CheckpointError: a network can't be read, or ``folder`` holds pairs of others.
        NonFiniteError: a network's logits or gradients aren't finite.
    """
    images = min(plan.images, len(dataset))
    folder = folder / f"pgd{plan.steps}_{images}"
    pairs = len(networks) ** 2
    log.info(
        "transfer between %d networks: %s on %d images of each, %d pairs", len(networks), plan.label, images, pairs
    )
    with Progress("transfer", len(networks) + pairs, mode=mode) as bar:
        made = []
        for one in networks:
            place, began = folder / _name(one), time.perf_counter()
            made.append(_made_on(load(one), dataset, images, plan, place))
            if len(made) == 1 and made[0].is_new:
                _tell_cost(time.perf_counter() - began, len(networks), plan.steps)
            bar.advance(1, {_name(one): "images made"})
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for column, target in enumerate(networks):
            network = load(target)
            right = torch.tensor([outcome == "1" for outcome in target.right[:images]])
            for row, source in enumerate(networks):
                place = folder / _name(source)
                kept = _shown_to(network, made[row], right, plan, place, _name(target))
                found[row, column] = accuracy_of(kept)
                bar.advance(1, {_name(target): f"{found[row, column]['accuracy']:.2%}"})
    order = range(len(networks))
    return {
        "attack": plan.label,
        "images": images,
        "networks": [[one.cell, one.seed] for one in networks],
        "accuracy": [[found[row, column]["accuracy"] for column in order] for row in order],
        "interval": [[found[row, column]["interval"] for column in order] for row in order],
    }


@dataclass
class _Made:
    """Images that were made on a network, as a data set."""

    x: Tensor
    y: Tensor
    classes: int
    source: str
    is_new: bool

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.x[indices], self.y[indices]


def _made_on(network: nn.Module, dataset: ImageDataset, images: int, plan: TransferPlan, folder: Path) -> _Made:
    """Makes them, or reads those that this network was attacked with before on as many images."""
    source, path = network_checksum(network), folder / "images.npz"
    about = f"{source} {plan.threat.label} {plan.steps} {images} {dataset.digest()}"
    y = dataset.labels[:images]
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["about"]) == about:
                return _Made(torch.from_numpy(stored["x"]), y, dataset.classes, about, is_new=False)
    attack = PGD(plan.threat.norm, plan.threat.eps, steps=plan.steps)
    network.to(plan.device)
    parts = []
    for start in range(0, images, plan.batch_size):
        x, labels = dataset.batch(torch.arange(start, min(start + plan.batch_size, images)))
        drawn = generator(0, "transfer", source, start)
        parts.append(attack(network, x.to(plan.device), labels.to(plan.device), drawn).cpu())
    x = torch.cat(parts)
    write_atomically(path, lambda file: np.savez(file, x=x.numpy(), about=np.array(about)))
    return _Made(x, y, dataset.classes, about, is_new=True)


def _shown_to(network: nn.Module, made: _Made, right: Tensor, plan: TransferPlan, folder: Path, target: str) -> Tensor:
    """(M,) bool, which images the target gets right as they were and as they were made."""
    bench = Bench(network, made, 0, plan.batch_size, folder, plan.device, None)
    settings = {"source": made.source}
    return bench.measure(target, target, settings, bench.classify, len(made)).outcomes & right


def _tell_cost(seconds: float, networks: int, steps: int) -> None:
    """From the first network: a pair's forward pass costs about a third of a step."""
    rest = seconds * (networks - 1) + seconds * networks**2 / (3 * steps)
    log.info("transfer: about %s left, if networks cost alike", duration(rest))


def _name(one: Trained) -> str:
    """That of its run folder, which has a name of its own for whatever decides what the network is."""
    return Path(one.folder).name
