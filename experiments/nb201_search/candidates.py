"""What trained candidates tell: their scores in searches of NAS-Bench-201 beside the published tables.

Run: ``python experiments/nb201_search/candidates.py RUN_FOLDER … --root TABLES``, run folders of searches with
``selection=trained``. A row a run: Spearman's rank correlation of the candidates' loss, accuracy (on attacked images if
the objective has any) and sum of places with PGD 8/255 after adversarial training ("AT") and PGD 1/255 after standard
training ("std"), all so that 1 is best; and the regret in PGD 8/255 of the relaxed cell, of the chosen one, of the
candidates' median, and of the best of them, which no selection can beat.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, median
from typing import Any

from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata, spearmanr

from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.robustness_dataset import RobustnessDataset
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec

COLUMNS = ("loss: AT", "std", "accuracy: AT", "std", "places: AT", "std", "relaxed", "chosen", "median", "best")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--root", type=Path, required=True, help="folder of the published tables")
    chosen = parser.parse_args()
    tables = NasRobBench201(chosen.root), RobustnessDataset(chosen.root / "robustness-data")
    shown = Table("search", "cells", *COLUMNS)
    rows = []
    for path in sorted(chosen.runs, key=lambda path: path.name.partition("Z_")[2]):
        folder = RunFolder.open(path)
        evidence = folder.read_evidence()
        if evidence is None or not evidence.get("candidates"):
            continue
        rows.append(row(folder, evidence["candidates"], *tables))
        name = path.name.partition("Z_")[2].rpartition("_")[0]
        shown.add_row(name, str(len(evidence["candidates"])), *(f"{value:.2f}" for value in rows[-1]))
    if len(rows) > 1:
        shown.add_row("mean", "", *(f"{mean(column):.2f}" for column in zip(*rows, strict=True)))
    Console(width=150).print(shown)


def row(
    folder: RunFolder, candidates: list[dict[str, Any]], adversarial: NasRobBench201, standard: RobustnessDataset
) -> list[float]:
    """The numbers of :data:`COLUMNS`."""
    scored = [candidate for candidate in candidates if candidate["score"]]
    cells = [genotype_codec.from_json(candidate["genotype"]) for candidate in scored]
    published = [
        [100 * adversarial.query(cell, "cifar10", "pgd", 8 / 255) for cell in cells],
        [100 * standard.query(cell, "cifar10", "pgd", 1 / 255) for cell in cells],
    ]
    losses = [-candidate["score"]["loss"] for candidate in scored]
    accuracies = [candidate["score"]["objective_accuracy"] for candidate in scored]
    places = rankdata(losses) + rankdata(accuracies)
    best = 100 * float(adversarial.of_classes("cifar10", "pgd", 8 / 255).max())
    relaxed = genotype_codec.from_json(read_json(folder.architecture_json)["epochs"][-1]["genotype"])
    regrets = [best - value for value in published[0]]
    return [
        *(float(spearmanr(measured, column)[0]) for measured in (losses, accuracies, places) for column in published),
        best - 100 * adversarial.query(relaxed, "cifar10", "pgd", 8 / 255),
        best - 100 * adversarial.query(genotype_codec.load(folder.genotype_json), "cifar10", "pgd", 8 / 255),
        median(regrets),
        min(regrets),
    ]


if __name__ == "__main__":
    main()
