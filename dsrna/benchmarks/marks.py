"""The pair of published accuracies by which robust searches are judged, beside marks that need no search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsrna.benchmarks.classes import Architecture
from dsrna.benchmarks.columns import measurement_label
from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.robustness_dataset import RobustnessDataset
from dsrna.benchmarks.sampling import random_architectures
from dsrna.benchmarks.tabular_benchmark import TabularBenchmark
from dsrna.errors import DsrnaError
from dsrna.functional.seeding import generator
from dsrna.spaces.nasbench201.architecture_string import string_of

RANDOM_CELLS = 300
PAIR = (NasRobBench201, RobustnessDataset)
"""Trained with and without adversary, each at its most telling radius: a gain on one may be a loss on the other."""

_SYMBOLS = {"s": "skip_connect", "3": "nor_conv_3x3"}
_NAMED = ("333333", "333s33")


@dataclass(frozen=True)
class Mark:
    """One line of the pair.

    Attributes:
        name: what it is of.
        values: shares in [0, 1], in the order of ``PAIR``; None where the table isn't there.
    """

    name: str
    values: tuple[float | None, ...]


def pair_labels() -> list[str]:
    """What the numbers of a pair are, e.g. ``pgd 8/255, adversarial training (…)``."""
    return [f"{measurement_label('pgd', table.informative_eps[0])}, {table.training}" for table in PAIR]


def pair_with_marks(architecture: Architecture, tables: Sequence[TabularBenchmark], dataset: str) -> list[Mark]:
    """The architecture's pair, those of two well-known cells, and the mean over random ones.

    ``333333`` has a 3x3 convolution on every edge, ``333s33`` a skip connection from input to output instead (edges in
    the order of the architecture string). The random cells are connected, of different classes, and always the same.

    Args:
        architecture: the derived one.
        tables: those that are there; an accuracy that one lacks is None.
        dataset: of the tables.
    """
    cells = {"the derived architecture": [architecture]}
    cells |= {name: [string_of([_SYMBOLS[symbol] for symbol in name])] for name in _NAMED}
    random = random_architectures(RANDOM_CELLS, generator(0, "marks"))
    cells[f"mean of {RANDOM_CELLS} random cells"] = list(random)
    return [
        Mark(name, tuple(_mean(members, _of(kind, tables), dataset) for kind in PAIR))
        for name, members in cells.items()
    ]


def _of(kind: type[TabularBenchmark], tables: Sequence[TabularBenchmark]) -> TabularBenchmark | None:
    return next((table for table in tables if isinstance(table, kind)), None)


def _mean(members: Sequence[Architecture], table: TabularBenchmark | None, dataset: str) -> float | None:
    if table is None:
        return None
    try:
        return float(np.mean([table.query(member, dataset, "pgd", table.informative_eps[0]) for member in members]))
    except (DsrnaError, OSError):  # a damaged file, which the verdict itself has named
        return None
