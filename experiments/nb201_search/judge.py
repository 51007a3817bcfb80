"""What the published tables say of searches of NAS-Bench-201: one line a run folder.

Run: ``python experiments/nb201_search/judge.py RUN_FOLDER … --root TABLES``. A cell is written as the operations of the
edges in string order: - none, s skip, 1 conv1x1, 3 conv3x3, p pool. "moved" is 1 - entropy / ln 5 of the operation
weights at the end; "changed" the epoch in which the derived cell last changed.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dsrna.benchmarks.published import open_tables_there
from dsrna.benchmarks.verdict import verdict
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype

LETTERS = {"none": "-", "skip_connect": "s", "nor_conv_1x1": "1", "nor_conv_3x3": "3", "avg_pool_3x3": "p"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--root", type=Path, required=True, help="folder of the published tables")
    chosen = parser.parse_args()
    tables = published_tables(chosen.root)
    shown = Table()
    for column in ("search", "cells by epoch", "moved", "changed", "seconds", "trained on PGD: PGD 8/255", "regret"):
        shown.add_column(column)
    shown.add_column("trained as usual: PGD 1/255")
    for path in sorted(chosen.runs, key=lambda path: path.name.partition("Z_")[2]):
        shown.add_row(*row(RunFolder.open(path), tables))
    Console(width=160).print(shown)


def published_tables(root: Path) -> list[Any]:
    """Those of CIFAR-10 that are in the folder; what is wrong with others goes to standard error."""
    tables, problems = open_tables_there(root, "cifar10")
    print(*problems, sep="\n", file=sys.stderr)
    return tables


def row(folder: RunFolder, tables: list[Any]) -> list[str]:
    epochs = read_json(folder.architecture_json)["epochs"]
    cells = [letters(genotype_codec.from_json(epoch["genotype"])) for epoch in epochs]
    entropies = epochs[-1]["entropy"]
    moved = 1 - sum(entropies.values()) / len(entropies) / math.log(len(LETTERS))
    changed = max((index for index in range(1, len(cells)) if cells[index] != cells[index - 1]), default=0) + 1
    seconds = sum(record.get("search/seconds", 0.0) for record in folder.read_metrics())
    found = {}
    for table in tables:
        for line in verdict(genotype_codec.from_json(epochs[-1]["genotype"]), table, "cifar10"):
            found[line.training.split()[0], line.label] = line
    robust, usual = found.get(("adversarial", "pgd 8/255")), found.get(("standard", "pgd 1/255"))
    return [
        folder.path.name.partition("Z_")[2].rpartition("_")[0],
        " ".join(cells),
        f"{moved:.3f}",
        str(changed),
        f"{seconds:.0f}",
        "" if robust is None else f"{100 * robust.accuracy:.2f}",
        "" if robust is None else f"{100 * robust.regret:.2f}",
        "" if usual is None else f"{100 * usual.accuracy:.1f}",
    ]


def letters(genotype: Genotype) -> str:
    return "".join(LETTERS[operation] for node in genotype.cells["cell"].nodes for operation, _ in node)


if __name__ == "__main__":
    main()
