"""How paths of a finished search's supernet rank cells, beside the published tables.

Run: ``python experiments/nb201_search/path_ranking.py RUN_FOLDER --root TABLES +experiment=nb201_darts data.root=DATA
seed=SEED …`` with the overrides of the search. Scored are `333333`, its single swaps, `333s33` and its, and 16 random
cells: accuracy on 2,000 images of the alphas' half, after BatchNorm's statistics were taken anew on 2,000 of the
weights'.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from cells import BASE, LETTERS, SWAPS, architecture
from scipy.stats import spearmanr

from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.verdict import verdict
from dsrna.config.compose import compose
from dsrna.config.parts import build_part
from dsrna.config.validate import validated
from dsrna.data.images import ImageDataset
from dsrna.data.loader import Batch
from dsrna.data.splits import search_halves
from dsrna.objectives.standard import Standard
from dsrna.progress import Progress
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import load_splits
from dsrna.stages.search import build_supernet
from dsrna.strategies.selection.paths import Paths
from dsrna.training.checkpoints import load_checkpoint

FULL, BATCHES, BATCH = "333333", 10, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("overrides", nargs="+", help="of the search")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    settings = validated(compose("search", chosen.overrides))
    splits = load_splits(settings)
    of_weights, of_alphas = search_halves(splits, settings.seed, settings.search.weights_fraction)
    space = build_part(settings.space, "space")
    supernet = build_supernet(settings, splits, space, build_part(settings.strategy, "strategy"))
    state: dict[str, Any] = load_checkpoint(RunFolder.open(chosen.run).last_checkpoint("search"))["state_dict"]
    prefix = "model.supernet."
    supernet.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    paths = Paths(space, supernet, Standard(), some(of_weights), some(of_alphas), settings.seed)
    table, found = NasRobBench201(chosen.root), {}
    cells = cells_to_score()
    with Progress("paths", len(cells)) as bar:
        for cell in cells:
            genotype = space.genotype(architecture(cell))
            (published,) = (line for line in verdict(genotype, table, "cifar10") if line.label == "pgd 8/255")
            found[cell] = published.accuracy, paths.score_of(genotype).accuracy
            bar.advance(1, {"cell": cell, "acc": found[cell][1]})
    for cell, (published, accuracy) in found.items():
        print(f"{cell}  AT PGD 8/255 {100 * published:.2f} %  path {100 * accuracy:.1f} %")
    near = [value for cell, value in found.items() if sum(a != b for a, b in zip(cell, BASE, strict=True)) <= 2]
    for name, values in (("all", list(found.values())), (f"{len(near)} within two swaps of {BASE}", near)):
        print(f"Spearman over {name}: {spearmanr(*zip(*values, strict=True)).statistic:.2f}")


def cells_to_score() -> list[str]:
    draw = torch.Generator().manual_seed(0)
    swaps = [FULL[:edge] + letter + FULL[edge + 1 :] for edge in range(6) for letter in LETTERS if letter != "3"]
    drawn = ["".join(LETTERS[int(i)] for i in torch.randint(5, (6,), generator=draw)) for _ in range(16)]
    return list(dict.fromkeys([FULL, *swaps, BASE, *SWAPS, *drawn]))


def some(images: ImageDataset) -> list[Batch]:
    return [images.batch(torch.arange(number * BATCH, (number + 1) * BATCH)) for number in range(BATCHES)]


if __name__ == "__main__":
    main()
