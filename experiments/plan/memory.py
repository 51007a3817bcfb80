"""Expected memory per size, as `dsrna plan` tells it: searches and adversarial trainings of 32x32 colour images.

    python experiments/plan/memory.py

The images are random: memory does not depend on them. Steps of four images are done, from which those of whole batches
are extrapolated; the last two lines do both for one size.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dsrna.config.compose import compose_with_hydra
from dsrna.config.validate import validated
from dsrna.planning.text import between, size
from dsrna.runs.request import Request, request_of
from dsrna.runs.sources import load_splits
from dsrna.spaces.genotype_source import read_genotype
from dsrna.stages import rehearsed
from dsrna.stages.search_cost import search_cost
from dsrna.stages.stage_cost import StageCost
from dsrna.stages.training_cost import training_cost

PAPER = "strategy=pcdarts"
SEARCHES = {  # label -> overrides
    "PC-DARTS, Jacobian": (PAPER, "metric=jacobian"),
    "DARTS, Jacobian": ("strategy=darts", "metric=jacobian"),
}
SIZES = [(8, 16, 128), (5, 8, 64)]
TRAININGS = [(20, 36, 128), (8, 16, 128)]


def request(folder: Path, *overrides: str) -> Request[Any]:
    """A run on random images, by CIFAR-10's recipe."""
    typed = ["data=arrays", f"data.source.path={folder}/random.npz", "usual=cifar10", "threat=linf_cifar"]
    config, of_hydra = compose_with_hydra("search", [*typed, "search.random_cells=0", *overrides])
    return request_of("search", ["dsrna.search"], validated(config), config, of_hydra, folder / "run", "")


def line(label: str, cells: int, channels: int, batch: int, cost: StageCost) -> str:
    done = "whole batches" if f"batches of {batch} images" in cost.notes[0] else "4 images"
    return f"| {label} | {cells} | {channels} | {batch} | {between(cost.memory, size)} | {done} |"


def of_search(folder: Path, label: str, cells: int, channels: int, batch: int) -> str:
    sizes = (f"search.cells={cells}", f"search.channels={channels}", f"search.batch_size={batch}")
    made = request(folder, *SEARCHES[label], *sizes)
    return line(
        f"search: {label}", cells, channels, batch, search_cost(made.settings, made, load_splits(made.settings))
    )


def of_training(folder: Path, cells: int, channels: int, batch: int) -> str:
    sizes = (f"retrain.cells={cells}", f"retrain.channels={channels}", f"retrain.batch_size={batch}")
    made = request(folder, *sizes)
    cost = training_cost("retrain", made.settings, made, load_splits(made.settings), read_genotype("PC_DARTS"))
    return line("training on PGD-7: PC_DARTS", cells, channels, batch, cost)


def main() -> None:
    rehearsed._AFFORDABLE_SECONDS = 0.0
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = {f"x_{part}": draw.integers(0, 256, (600, 32, 32, 3), dtype=np.uint8) for part in ("train", "test")}
        np.savez(folder / "random.npz", **images, **{f"y_{part}": np.arange(600) % 10 for part in ("train", "test")})
        print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {sys.platform}")
        print("| what | cells | channels | batch | memory | done |\n|---|---|---|---|---|---|")
        for label in SEARCHES:
            for sizes in SIZES:
                print(of_search(folder, label, *sizes), flush=True)
        for sizes in TRAININGS:
            print(of_training(folder, *sizes), flush=True)
        print(of_search(folder, next(iter(SEARCHES)), 3, 8, 32), flush=True)
        rehearsed._AFFORDABLE_SECONDS = float("inf")
        print(of_search(folder, next(iter(SEARCHES)), 3, 8, 32), flush=True)


if __name__ == "__main__":
    main()
