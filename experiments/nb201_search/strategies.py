"""Searches of NAS-Bench-201 by several rules, as the published tables judge them: one line a rule.

Run: ``python experiments/nb201_search/strategies.py FOLDER … --root TABLES``, where each FOLDER holds run folders named
``RULE_sSEED`` (``name=gdas_s0``). A cell is written as the operations of its edges in string order: - none, s skip,
1 conv1x1, 3 conv3x3, p pool. Regret is in points of PGD 8/255 after adversarial training below the best of all cells;
"std PGD" is PGD 1/255 after standard training; AutoAttack (after adversarial training) and the corruptions (after
standard training) are second looks, that nothing was decided by. "skips" are those of the derived cells, in the mean.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from pathlib import Path
from statistics import mean, median

from judge import published_tables
from pairs import Search, searches
from rich.console import Console
from rich.table import Table

COLUMNS = (
    "rule", "searches", "regret, median", "worst", "std PGD, median", "AutoAttack", "corruptions", "skips", "minutes",
    "cells",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--root", type=Path, required=True, help="folder of the published tables")
    chosen = parser.parse_args()
    tables = published_tables(chosen.root)
    shown = Table(*COLUMNS)
    found = [(name, list(searches(chosen.folders, name, tables).values())) for name in names(chosen.folders)]
    for name, ended in sorted(found, key=lambda entry: median_regret(entry[1])):
        if ended:
            shown.add_row(*row(name, ended))
    Console(width=170).print(shown)


def names(folders: list[Path]) -> set[str]:
    """Of rules, some search of which has a run folder."""
    paths = (path for folder in folders for path in folder.iterdir())
    return {match[1] for path in paths if (match := re.search(r"Z_(\w+)_s\d+_[0-9a-f]+$", path.name))}


def median_regret(ended: list[Search]) -> float:
    return median(search.found.regret for search in ended) if ended else math.inf


def row(name: str, ended: list[Search]) -> list[str]:
    """The cells of a line, see :data:`COLUMNS`."""
    cells = [search.found for search in ended]
    seconds = (
        [cell.standard_pgd for cell in cells],
        [cell.autoattack for cell in cells],
        [cell.corruptions for cell in cells],
    )
    times = Counter(cell.cell for cell in cells)
    return [
        name,
        str(len(cells)),
        f"{median_regret(ended):.2f}",
        f"{max(cell.regret for cell in cells):.2f}",
        *(f"{median(values):.1f}" for values in seconds),
        f"{mean(cell.cell.count('s') for cell in cells):.1f}",
        f"{median(search.minutes for search in ended):.1f}",
        " ".join(f"{cell} x{count}" if count > 1 else cell for cell, count in times.items()),
    ]


if __name__ == "__main__":
    main()
