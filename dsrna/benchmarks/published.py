"""Both published tables, where they are looked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.robustness_dataset import RobustnessDataset
from dsrna.benchmarks.tabular_benchmark import TabularBenchmark
from dsrna.errors import DsrnaError

ROBUSTNESS_FOLDER = "robustness-data"

_OPENERS: tuple[Callable[[Path], TabularBenchmark], ...] = (
    NasRobBench201,
    lambda root: RobustnessDataset(root / ROBUSTNESS_FOLDER),
)


def open_tables(root: Path) -> list[TabularBenchmark]:
    """NAS-RobBench-201 and the robustness dataset, in this order.

    Args:
        root: the folder with ``NAS-RobBench-201_all.json`` and ``robustness-data/``.

    Raises:
        DataError: one is missing or damaged.
    """
    return [opener(root) for opener in _OPENERS]


def open_tables_there(root: Path, dataset: str) -> tuple[list[TabularBenchmark], list[str]]:
    """The tables that can be used for a data set, and why the others can't.

    Args:
        root: as in :func:`open_tables`.
        dataset: of cifar10, cifar100, imagenet16_120.

    Returns:
        Tables, and one message for each that is missing, damaged, or has nothing on the data set.
    """
    found, problems = [], []
    for opener in _OPENERS:
        try:
            table = opener(root)
        except (DsrnaError, OSError) as error:
            problems.append(str(error))
            continue
        if dataset in table.datasets and table.metrics(dataset):
            found.append(table)
        else:
            problems.append(table.lacks(dataset, root))
    return found, problems
