"""Searches of NAS-Bench-201 beside the same searches without their robust part, as the published tables judge them.

Run: ``python experiments/nb201_search/pairs.py FOLDER … --root TABLES [--robust robust] [--plain plain]``, where each
FOLDER holds run folders named ``robust_sSEED`` and ``plain_sSEED`` (``name=robust_s10``). A cell is written as the
operations of its edges in string order: - none, s skip, 1 conv1x1, 3 conv3x3, p pool. "relaxed" is the cell that the
operation weights stand for, before the selection. Regret is in points below the best of all cells.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from judge import letters, published_tables
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from dsrna.benchmarks.robustness_dataset import CORRUPTIONS
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype

GOOD = 0.5
"""Points of regret that a search may have."""


@dataclass(frozen=True)
class Judged:
    """A cell in the tables, in per cent: PGD 8/255 and its regret, AutoAttack after adversarial training; PGD
    1/255 and the mean over the corruptions after standard training.
    """

    cell: str
    pgd: float
    regret: float
    autoattack: float
    standard_pgd: float
    corruptions: float


@dataclass(frozen=True)
class Search:
    """A finished search."""

    found: Judged
    relaxed: Judged
    minutes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--root", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--robust", default="robust")
    parser.add_argument("--plain", default="plain")
    chosen = parser.parse_args()
    tables = published_tables(chosen.root)
    robust, plain = (searches(chosen.folders, name, tables) for name in (chosen.robust, chosen.plain))
    console = Console(width=150)
    console.print(table_of(robust, plain, chosen.robust, chosen.plain))
    for line in [*summary(robust, chosen.robust), *summary(plain, chosen.plain), *compared(robust, plain)]:
        console.print(line, highlight=False)


def searches(folders: list[Path], name: str, tables: list[Any]) -> dict[int, Search]:
    """Seed -> the finished search of that name."""
    found = {}
    for path in sorted(path for folder in folders for path in folder.iterdir()):
        match = re.search(rf"Z_{re.escape(name)}_s(\d+)_[0-9a-f]+$", path.name)
        if match and (path / "genotype.json").exists():
            found[int(match[1])] = search_of(RunFolder.open(path), tables)
    return dict(sorted(found.items()))


def search_of(folder: RunFolder, tables: list[Any]) -> Search:
    last = read_json(folder.architecture_json)["epochs"][-1]
    return Search(
        judged(genotype_codec.load(folder.genotype_json), tables),
        judged(genotype_codec.from_json(last["genotype"]), tables),
        folder.read_run()["stages"]["search"]["seconds"] / 60,
    )


def judged(genotype: Genotype, tables: list[Any]) -> Judged:
    adversarial, standard = (
        next(table for table in tables if table.training.startswith(how)) for how in ("adversarial", "standard")
    )

    def percent(table: Any, metric: str, eps: float | None = None, severity: int | None = None) -> float:
        return 100 * float(table.query(genotype, "cifar10", metric, eps, severity))

    best = 100 * float(adversarial.of_classes("cifar10", "pgd", 8 / 255).max())
    pgd = percent(adversarial, "pgd", 8 / 255)
    return Judged(
        letters(genotype),
        pgd,
        best - pgd,
        percent(adversarial, "autoattack"),
        percent(standard, "pgd", 1 / 255),
        mean(percent(standard, name, None, severity) for name in CORRUPTIONS for severity in (1, 2, 3, 4, 5)),
    )


def table_of(robust: dict[int, Search], plain: dict[int, Search], *names: str) -> Table:
    shown = Table()
    for column in ("seed", "relaxed (regret)", *(f"{name}: {what}" for name in names for what in (
        "cell", "PGD 8/255, regret", "std PGD 1/255"))):  # fmt: skip
        shown.add_column(column)
    for seed in sorted({*robust, *plain}):
        cells = [str(seed)]
        first = robust.get(seed) or plain[seed]
        cells.append(f"{first.relaxed.cell} ({first.relaxed.regret:.2f})")
        for search in (robust.get(seed), plain.get(seed)):
            if search is None:
                cells += ["", "", ""]
                continue
            found = search.found
            cells += [found.cell, f"{found.pgd:.2f}, {found.regret:.2f}", f"{found.standard_pgd:.1f}"]
        shown.add_row(*cells)
    return shown


def summary(found: dict[int, Search], name: str) -> list[str]:
    if not found:
        return [f"{name}: no finished search"]
    all_of = [search.found for search in found.values()]
    regrets = [one.regret for one in all_of]
    good = sum(regret <= GOOD for regret in regrets)
    low, high = binomtest(good, len(regrets)).proportion_ci(method="wilson")
    relaxed = [search.relaxed.regret for search in found.values()]
    return [
        f"{name}: {len(regrets)} searches, regret {median(regrets):.2f} (median), {max(regrets):.2f} (worst); "
        f"at most {GOOD} in {good} (95 % interval of the share {low:.2f} to {high:.2f}); of the relaxed cells "
        f"{median(relaxed):.2f}, {max(relaxed):.2f}; medians: std PGD 1/255 "
        f"{median(one.standard_pgd for one in all_of):.1f}, AutoAttack {median(one.autoattack for one in all_of):.2f}, "
        f"corruptions {median(one.corruptions for one in all_of):.2f}, "
        f"{median(search.minutes for search in found.values()):.1f} minutes"
    ]


def compared(robust: dict[int, Search], plain: dict[int, Search]) -> list[str]:
    pairs = [(robust[seed].found, plain[seed].found) for seed in robust if seed in plain]
    lines = []
    for title, name in (
        ("PGD 8/255 after adversarial training", "pgd"), ("AutoAttack after adversarial training", "autoattack"),
        ("PGD 1/255 after standard training", "standard_pgd"), ("corruptions after standard training", "corruptions"),
    ):  # fmt: skip
        differences = [getattr(one, name) - getattr(other, name) for one, other in pairs]
        if differences:
            above, below = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
            p = binomtest(above, above + below).pvalue if above + below else 1.0
            lines.append(
                f"{title}: above its pair in {above}, below in {below} of {len(pairs)} (sign test p {p:.2g}), "
                f"by {mean(differences):+.2f} points in the mean"
            )
    return lines


if __name__ == "__main__":
    main()
