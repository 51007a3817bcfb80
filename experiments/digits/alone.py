"""Whether derived cells are better than random ones once each is trained alone, as the retrain stage trains.

Run: ``python experiments/digits/alone.py train --out FILE.jsonl [--overrides KEY=VALUE …] -- GENOTYPE.json …``: the
derived cell of every genotype file, and as many random cells as ``--random`` says, whose parameters lie within those
of the derived ones, give or take ``--within``. Each is trained with every seed of ``--seeds``, by the retrain stage
itself and the overrides of a search. One line a training: clean and PGD-20 accuracy and loss on the test split, on
which nothing is chosen. An interrupted run goes on when it is started again. Then ``… report FILE.jsonl``.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from dsrna.attacks.pgd import PGD
from dsrna.config.compose import compose
from dsrna.config.parts import build_part
from dsrna.config.settings import Settings
from dsrna.config.validate import validated
from dsrna.data.images import ImageDataset
from dsrna.functional.seeding import generator
from dsrna.json_files import append_line, read_lines
from dsrna.nn.modes import evaluation_mode
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import load_splits
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype
from dsrna.stages.job import Job
from dsrna.stages.retrain import describe, retrain
from dsrna.strategies.selection.sampling import equal_weights, sampled_cell
from dsrna.training.dashboards.base import Dashboards
from dsrna.training.trained_network import build_network, load_network

BATCH = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    train = commands.add_parser("train")
    train.add_argument("--out", type=Path, required=True)
    train.add_argument("--random", type=int, default=16)
    train.add_argument("--within", type=float, default=0.1)
    train.add_argument("--seeds", type=int, nargs="+", default=[0])
    train.add_argument("--overrides", nargs="*", default=[], help="of a search")
    train.add_argument("genotypes", type=Path, nargs="*", help="files with the derived cells")
    commands.add_parser("report").add_argument("files", type=Path, nargs="+")
    chosen = parser.parse_args()
    if chosen.command == "report":
        for path in chosen.files:
            report([line for _, line in read_lines(path, dict[str, Any])])
        return
    torch.set_num_threads(1)
    settings = validated(compose("search", [*chosen.overrides, "trainer=cpu", "logger=none"]))
    objective = settings.objective["_target_"].rpartition(".")[2]
    cells = cells_to_train(settings, chosen.genotypes, chosen.random, chosen.within)
    for seed in chosen.seeds:
        for name, cell in cells:
            about = {"cell": name, "seed": seed, "objective": objective}
            if not any(about.items() <= line.items() for _, line in read_lines(chosen.out, dict[str, Any])):
                line = trained_alone(cell, seed, chosen.overrides)
                append_line(chosen.out, about | line | {"genotype": genotype_codec.to_json(cell)})


def cells_to_train(
    settings: Settings, genotypes: Sequence[Path], count: int, within: float
) -> list[tuple[str, Genotype]]:
    """Derived and random cells by turns, so that an unfinished file has some of both."""
    derived = [(path.stem, genotype_codec.load(path)) for path in genotypes]
    splits, space = load_splits(settings), build_part(settings.space, "space")

    def parameters(cell: Genotype) -> int:
        return sum(p.numel() for p in build_network(describe(settings, splits, cell)).parameters())

    sizes = [parameters(cell) for _, cell in derived]
    low, high = (min(sizes) * (1 - within), max(sizes) * (1 + within)) if sizes else (0, math.inf)
    draw, random = generator(0, "random cells to train alone"), list[tuple[str, Genotype]]()
    while len(random) < count:
        cell = sampled_cell(space, equal_weights(space), draw)
        if low <= parameters(cell) <= high:
            random.append((f"random {len(random)}", cell))
    return [pair for pairs in _by_turns(derived, random) for pair in pairs]


def _by_turns(*lists: list[Any]) -> Iterator[list[Any]]:
    longest = max(map(len, lists))
    for place in range(longest):
        yield [one for some in lists for one in some[place * len(some) // longest : (place + 1) * len(some) // longest]]


def trained_alone(cell: Genotype, seed: int, overrides: Sequence[str]) -> dict[str, Any]:
    """Trains a cell's network as the retrain stage does, and measures what it kept."""
    settings = validated(compose("search", [*overrides, f"seed={seed}", "trainer=cpu", "logger=none"]))
    splits = load_splits(settings)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        genotype_codec.save(cell, run.genotype_json)
        job = Job(settings, run, "alone", splits, Dashboards())
        began = time.process_time()
        retrain(job)
        seconds = time.process_time() - began
        network, _, about = load_network(run.best_checkpoint("retrain"))
    size = sum(p.numel() for p in network.parameters())
    found = measured(network, splits.test, job.threat, seed)
    return {"parameters": size, "val_pgd": about["numbers"]["val/acc_adv"], **found, "cpu_seconds": round(seconds, 1)}


def measured(network: torch.nn.Module, images: ImageDataset, threat: Any, seed: int) -> dict[str, float]:
    """Accuracy and cross-entropy, clean and under PGD-20."""
    attack, sums = PGD(threat.norm, threat.eps, steps=20), dict.fromkeys(("acc", "loss", "pgd", "pgd_loss"), 0.0)
    for number, indices in enumerate(torch.arange(len(images)).split(BATCH)):
        x, y = images.batch(indices)
        attacked = attack(network, x, y, generator(seed, "measured", number))
        with evaluation_mode(network), torch.no_grad():
            for (accuracy, loss), logits in zip(
                (("acc", "loss"), ("pgd", "pgd_loss")), (network(x), network(attacked)), strict=True
            ):
                sums[accuracy] += (logits.argmax(1) == y).sum().item()
                sums[loss] += F.cross_entropy(logits, y, reduction="sum").item()
    return {name: value / len(images) for name, value in sums.items()}


def report(lines: list[dict[str, Any]]) -> None:
    """Means over training seeds of every cell, then derived cells among random ones."""
    cells = {line["cell"]: [other for other in lines if other["cell"] == line["cell"]] for line in lines}
    means = {
        cell: {key: statistics.mean(line[key] for line in of_cell) for key in ("acc", "pgd", "pgd_loss", "parameters")}
        for cell, of_cell in cells.items()
    }
    for cell, mean in sorted(means.items(), key=lambda item: -item[1]["pgd"]):
        print(
            f"{cell:45} {mean['parameters']:8,.0f} parameters, {len(cells[cell])} trainings: clean {mean['acc']:.2%}, "
            f"PGD-20 {mean['pgd']:.2%}, loss {mean['pgd_loss']:.3f}"
        )
    random = [mean for cell, mean in means.items() if cell.startswith("random ")]
    derived = [mean for cell, mean in means.items() if not cell.startswith("random ")]
    for key, better in (("pgd", 1), ("pgd_loss", -1), ("acc", 1)):
        compare(key, better, derived, random)


def compare(key: str, better: int, derived: list[dict[str, float]], random: list[dict[str, float]]) -> None:
    """Derived minus random: difference of the means with its standard error, as they are and over log parameters."""
    line = statistics.linear_regression([math.log(m["parameters"]) for m in random], [m[key] for m in random])

    def residual(mean: dict[str, float]) -> float:
        return mean[key] - line.slope * math.log(mean["parameters"]) - line.intercept

    shown = []
    for ours, theirs in (
        ([m[key] for m in derived], [m[key] for m in random]),
        ([residual(m) for m in derived], [residual(m) for m in random]),
    ):
        error = math.sqrt(sum(statistics.variance(v) / len(v) for v in (ours, theirs)))
        shown.append(f"{statistics.mean(ours) - statistics.mean(theirs):+.4f} (standard error {error:.4f})")
    beaten = [sum(better * (one[key] - other[key]) > 0 for other in random) for one in derived]
    print(
        f"{key}: derived - random {shown[0]}, over log parameters {shown[1]}; of {len(random)} random cells the "
        f"derived ones beat {beaten}; standard deviation of random cells {statistics.stdev(m[key] for m in random):.4f}"
    )


if __name__ == "__main__":
    main()
