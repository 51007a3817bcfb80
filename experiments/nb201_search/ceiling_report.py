"""How measurements of networks trained alone rank architectures, beside the published tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from cells import BASE, SWAPS, architecture
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.robustness_dataset import RobustnessDataset

TELLING = 0.0025
"""Published differences below a quarter of a point are not counted as having a sign."""

Line = dict[str, Any]


def report(files: dict[Path, list[Line]], root: Path) -> None:
    """Prints, for each size and objective, rank correlations with the tables, between seeds, and the swaps."""
    adversarial, standard = NasRobBench201(root), RobustnessDataset(root / "robustness-data")
    console = Console(width=150)
    for path, lines in files.items():
        for objective in sorted({line["objective"] for line in lines}):
            chosen = [line for line in lines if line["objective"] == objective]
            of_seed = {s: {line["cell"]: line for line in chosen if line["seed"] == s} for s in seeds(chosen)}
            cells = [cell for cell in next(iter(of_seed.values())) if all(cell in found for found in of_seed.values())]
            at = {cell: adversarial.query(architecture(cell), "cifar10", "pgd", 8 / 255) for cell in cells}
            std = {cell: standard.query(architecture(cell), "cifar10", "pgd", 1 / 255) for cell in cells}
            console.print(correlations(f"{path.stem}, {objective}", cells, of_seed, at, std))
            console.print(swaps(cells, of_seed, at, std))


def seeds(lines: Sequence[Line]) -> list[int]:
    return sorted({line["seed"] for line in lines})


def correlations(
    title: str, cells: list[str], of_seed: dict[int, dict[str, Line]], at: dict[str, float], std: dict[str, float]
) -> Table:
    """Spearman's correlation of each measurement, seed by seed, with the tables, and of the seeds with one another."""
    seconds = np.mean([line["cpu_seconds"] for found in of_seed.values() for line in found.values()])
    one = next(iter(of_seed.values()))[cells[0]]
    size = ", ".join(f"{key} {value}" for key, value in one["size"].items() if value is not None)
    table = Table(title=f"{title}: {size}; {len(cells)} cells, {seconds:.0f} CPU seconds each", title_justify="left")
    near = [cell for cell in cells if cell == BASE or cell in SWAPS]
    far = [cell for cell in cells if cell not in near]
    for column in ("measurement", "with AT PGD 8/255", "12 spread", "12 near 333s33", "with std PGD 1/255", "seeds"):
        table.add_column(column)
    for name in [key for key in one if key in ("train_loss", "loss", "acc", "pgd")]:
        sign = -1 if "loss" in name else 1
        values = {seed: {cell: sign * found[cell][name] for cell in cells} for seed, found in of_seed.items()}
        pairs = [rank(cells, values[a], values[b]) for a, b in combinations(values, 2)]
        table.add_row(
            name,
            *(" ".join(f"{rank(some, found, at):.3f}" for found in values.values()) for some in (cells, far, near)),
            " ".join(f"{rank(cells, found, std):.3f}" for found in values.values()),
            " ".join(f"{pair:.3f}" for pair in pairs) or "one seed",
        )
    return table


def swaps(cells: list[str], of_seed: dict[int, dict[str, Line]], at: dict[str, float], std: dict[str, float]) -> Table:
    """What each swap changes, in points: in the tables, and in accuracies measured here, means over seeds."""
    here = ("acc", "pgd")
    table = Table(
        title="points above 333s33; ! where the sign is another one than AT PGD 8/255's", title_justify="left"
    )
    for column in ("cell", "AT PGD 8/255", "std PGD 1/255", *here):
        table.add_column(column)
    for cell in (cell for cell in SWAPS if cell in cells):
        change = at[cell] - at[BASE]
        row = [f"{100 * change:+.2f}", f"{100 * (std[cell] - std[BASE]):+.2f}"]
        for name in here:
            found = np.array([lines[cell][name] - lines[BASE][name] for lines in of_seed.values()])
            error = f" ± {100 * found.std(ddof=1) / len(found) ** 0.5:.2f}" if len(found) > 1 else ""
            wrong = abs(change) >= TELLING and found.mean() * change < 0
            row.append(f"{100 * found.mean():+.2f}{error}{' !' if wrong else ''}")
        table.add_row(cell, *row)
    return table


def rank(cells: list[str], a: dict[str, float], b: dict[str, float]) -> float:
    return float(spearmanr([a[cell] for cell in cells], [b[cell] for cell in cells]).statistic)
