"""A ranking's proxies beside the same proxies as others published them: Spearman's correlation with both tables.

Run: ``python experiments/rank500/beside_published.py --run RUN --tables TABLES`` after ``python -m dsrna.rank``. RUN is
its run folder; TABLES also holds ``zero_cost_proxies_cifar10.csv``. Three columns a table: our scores of the run's
architectures; the published values of those of them that have one; those of all architectures that have one. An
architecture without a value gets the mean of isomorphic ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from dsrna.benchmarks.classes import rows
from dsrna.benchmarks.published import open_tables
from dsrna.benchmarks.published_proxies import PublishedProxies
from dsrna.run_folder import RunFolder

LEVELS = {"NAS-RobBench-201": 8 / 255, "the robustness dataset": 1 / 255}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--tables", type=Path, required=True)
    chosen = parser.parse_args()
    records = RunFolder.open(chosen.run).read_scores()
    ranked = np.array([record["index"] for record in records])
    every = np.arange(len(rows()))
    published = PublishedProxies(chosen.tables)
    benchmarks = open_tables(chosen.tables)
    table = Table(title=f"Spearman's correlation with PGD accuracy, {len(records)} architectures of {chosen.run.name}")
    table.add_column("proxy")
    for benchmark in benchmarks:
        eps = round(255 * LEVELS[benchmark.title])
        for what in ("ours", "published, same", "published, all"):
            table.add_column(f"{benchmark.training}, {eps}/255: {what}")
    for name in records[0]["scores"]:
        ours = np.full(len(every), np.nan)
        ours[ranked] = [record["scores"][name] for record in records]
        theirs = published.column(name) if name in published.names else np.full(len(ours), np.nan)
        cells = []
        for benchmark in benchmarks:
            accuracy = benchmark.of_classes("cifar10", "pgd", eps=LEVELS[benchmark.title])[rows()]
            for scores, among in ((ours, ranked), (theirs, ranked), (theirs, every)):
                cells.append(correlation(scores[among], accuracy[among]))
        table.add_row(name, *cells)
    Console(width=190).print(table)


def correlation(scores: np.ndarray, accuracies: np.ndarray) -> str:
    """With the number of pairs; a dash where there are none."""
    there = np.isfinite(scores) & np.isfinite(accuracies)
    if not there.any():
        return "-"
    return f"{spearmanr(scores[there], accuracies[there]).statistic:.3f} ({there.sum():,})"


if __name__ == "__main__":
    main()
