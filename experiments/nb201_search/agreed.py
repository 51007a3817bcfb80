"""What several searches of NAS-Bench-201 agree on, as the published tables judge it.

Run: ``python experiments/nb201_search/agreed.py RUN_FOLDER … --root TABLES``, with the run folders of searches that
differ in their seeds alone. Of every number k of searches, the genotype is derived from the mean of their operation
weights (:mod:`dsrna.strategies.consensus`): for groups of k in the order given, which share no search, and for all sets
of k of them, which do, so that they are worth no more than the searches that they are made of. Regret is in points of
PGD 8/255 after adversarial training below the best of all cells; "std PGD" is PGD 1/255 after standard training. A cell
is written as the operations of its edges in string order: - none, s skip, 1 conv1x1, 3 conv3x3, p pool.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path
from statistics import median

from judge import published_tables
from pairs import GOOD, Judged, judged
from rich.console import Console
from rich.table import Table

from dsrna.run_folder import RunFolder
from dsrna.stages.consensus import agreed_genotype

Group = tuple[RunFolder, ...]
COLUMNS = ("searches", "groups", f"regret <= {GOOD}", "regret, median", "worst", "std PGD, median", "cells, regrets")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--root", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--most", type=int, default=5, help="largest number of searches in a group (default: 5)")
    chosen = parser.parse_args()
    tables, known = published_tables(chosen.root), {}
    runs = [RunFolder.open(path) for path in chosen.runs]

    def found(group: Group) -> Judged:
        genotype = agreed_genotype(group)
        return known.setdefault(genotype, judged(genotype, tables))

    apart, all_sets = Table(*COLUMNS, title="groups that share no search"), Table(*COLUMNS[:-1], title="all sets")
    for size in range(1, min(chosen.most, len(runs)) + 1):
        apart.add_row(*row(size, groups_apart(runs, size), found, cells=True))
        all_sets.add_row(*row(size, combinations(runs, size), found))
    for table in (apart, all_sets):
        Console(width=160).print(table)


def groups_apart(runs: list[RunFolder], size: int) -> list[Group]:
    """The runs in groups of ``size``, in their order; those that are left over are in none."""
    return [tuple(runs[start : start + size]) for start in range(0, len(runs) - size + 1, size)]


def row(size: int, groups: Iterable[Group], found: Callable[[Group], Judged], cells: bool = False) -> list[str]:
    """A line of a table, see :data:`COLUMNS`; the last column where ``cells`` is set."""
    cells_found = [found(group) for group in groups]
    regrets = [cell.regret for cell in cells_found]
    numbers = [
        str(size),
        str(len(regrets)),
        f"{sum(regret <= GOOD for regret in regrets) / len(regrets):.0%}",
        f"{median(regrets):.2f}",
        f"{max(regrets):.2f}",
        f"{median(cell.standard_pgd for cell in cells_found):.1f}",
    ]
    return [*numbers, "  ".join(f"{cell.cell} {cell.regret:.2f}" for cell in cells_found)] if cells else numbers


if __name__ == "__main__":
    main()
