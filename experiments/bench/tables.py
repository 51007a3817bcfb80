"""How fast the published tables are opened and asked.

Run: ``python experiments/bench/tables.py --tables FOLDER`` (``NAS-RobBench-201_all.json`` and ``robustness-data/``).
Converts them once into a temporary folder. Every round then opens them anew from there, asks one question, asks a
million at once (random architectures, PGD at the most telling eps), and one after the other.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from dsrna.benchmarks.classes import rows
from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.published import ROBUSTNESS_FOLDER
from dsrna.benchmarks.robustness_dataset import RobustnessDataset
from dsrna.benchmarks.tabular_benchmark import TabularBenchmark

SINGLE = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="the folder of both tables")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=1_000_000)
    chosen = parser.parse_args()
    rows()  # the isomorphism classes, which all tables share, are computed once a process
    table = Table(title=f"CIFAR-10, PGD; medians of {chosen.rounds} rounds")
    for column in ("table", "convert, s", "open and one query, s", "queries/s, batch", "queries/s, one by one"):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        openers: list[Callable[[], TabularBenchmark]] = [
            lambda: NasRobBench201(chosen.tables, cache),
            lambda: RobustnessDataset(chosen.tables / ROBUSTNESS_FOLDER, cache),
        ]
        for opener in openers:
            table.add_row(*measured(opener, chosen.rounds, chosen.queries))
    Console(width=150).print(table)


def measured(opener: Callable[[], TabularBenchmark], rounds: int, queries: int) -> list[str]:
    """The row of one table."""
    convert = seconds(lambda: ask(opener(), 0))
    indices = np.random.default_rng(0).integers(0, 15_625, queries)
    opened, batch, single = zip(*(one_round(opener, indices) for _ in range(rounds)), strict=True)
    rates = (queries / statistics.median(batch), SINGLE / statistics.median(single))
    return [
        opener().title, f"{convert:.2f}", f"{statistics.median(opened):.4f}", *(f"{rate:,.0f}" for rate in rates),
    ]  # fmt: skip


def one_round(opener: Callable[[], TabularBenchmark], indices: np.ndarray) -> tuple[float, float, float]:
    """Seconds to open the table and ask once, for all queries at once, and for :data:`SINGLE` of them one by one."""
    benchmark, eps = opener(), opener().informative_eps[0]
    return (
        seconds(lambda: ask(opener(), 0)),
        seconds(lambda: benchmark.query_many(indices, "cifar10", "pgd", eps=eps)),
        seconds(lambda: [ask(benchmark, int(index)) for index in indices[:SINGLE]]),
    )


def ask(benchmark: TabularBenchmark, index: int) -> float:
    return benchmark.query(index, "cifar10", "pgd", eps=benchmark.informative_eps[0])


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
