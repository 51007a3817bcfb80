"""What one published table says by itself: how its columns rank networks, and what goes with robustness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from dsrna.benchmarks.analysis import (
    Spread,
    kendall_correlations,
    means_by_depth,
    means_by_operation_count,
    means_by_position,
    operation_counts,
    rank_correlations,
    spreads_at_equal_parameters,
)
from dsrna.benchmarks.classes import representatives
from dsrna.benchmarks.columns import corruption_measurements, is_among, measurement_label, measurements
from dsrna.benchmarks.sampling import is_connected
from dsrna.benchmarks.tabular_benchmark import TabularBenchmark
from dsrna.errors import DataError
from dsrna.spaces.nasbench201.architecture_string import string_of
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.nasbench201.topology import EDGES, PRIMITIVES

Kind = Literal["clean", "attack", "corruption"]

_CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet16_120": 120}


@dataclass(frozen=True)
class AnalysedColumn:
    """One accuracy of all classes of isomorphic architectures.

    Attributes:
        metric: as in :meth:`~dsrna.benchmarks.tabular_benchmark.TabularBenchmark.query`.
        level: eps in [0, 1] for attacks, severity 1 to 5 for corruptions, None for others.
        kind: what was done to the images.
        values: (6466,) shares in [0, 1]; NaN where there is none.
    """

    metric: str
    level: float | None
    kind: Kind
    values: np.ndarray

    @property
    def label(self) -> str:
        """``pgd 8/255``, ``snow 3``, ``clean``."""
        if self.kind == "corruption":
            return f"{self.metric} {self.level:g}"
        return measurement_label(self.metric, self.level)


@dataclass(frozen=True)
class Effects:
    """How a column goes with operations; means over connected classes, NaN where there is none.

    Attributes:
        label: of the column.
        mean: over all connected classes.
        by_count, by_position, by_depth: see the functions ``means_…`` of :mod:`dsrna.benchmarks.analysis`.
    """

    label: str
    mean: float
    by_count: np.ndarray
    by_position: np.ndarray
    by_depth: np.ndarray


@dataclass(frozen=True)
class TableAnalysis:
    """The analyses of one table and data set.

    Attributes:
        benchmark, training: of the table.
        informative_eps: of the table.
        columns: clean first where it is there, then attacks by eps, then corruptions by severity.
        headline: position of the column that the other analyses look at, PGD at the most telling eps where it is there.
        spearman, kendall: (n, n) rank correlations of columns, over all classes.
        parameters: (6466,) parameter counts.
        mean_attacked: (6466,) mean over all attacks and eps; empty without attacks.
        spreads: of ``mean_attacked``, over connected classes of the same parameter count.
        with_size: Spearman's and Kendall's rank correlation of the headline column with the parameter count.
        effects: of the headline column and of the clean one.
    """

    benchmark: str
    training: str
    informative_eps: tuple[float, ...]
    columns: list[AnalysedColumn]
    headline: int
    spearman: np.ndarray
    kendall: np.ndarray
    parameters: np.ndarray
    mean_attacked: np.ndarray
    spreads: list[Spread]
    with_size: tuple[float, float]
    effects: list[Effects]

    def position(self, label: str) -> int | None:
        """Where the column with a label stands; None where there is none."""
        return next((place for place, column in enumerate(self.columns) if column.label == label), None)


def analyse_table(benchmark: TabularBenchmark, dataset: str) -> TableAnalysis:
    """All analyses of a table; takes some seconds.

    Raises:
        ConfigError: the table has no such data set, or hardly any entries.
        DataError: a file is damaged, or there is no accuracy in the table.
    """
    columns = _columns(benchmark, dataset)
    if not columns:
        raise DataError(f"{benchmark.title} has no accuracies on {dataset}.")
    attacked = [column.values for column in columns if column.kind == "attack"]
    mean_attacked = np.mean(attacked, axis=0) if attacked else np.empty(0)
    headline = _headline(columns, benchmark.informative_eps)
    clean = [place for place, column in enumerate(columns) if column.kind == "clean"]
    parameters = parameter_counts(_CLASSES[dataset])
    sized = [columns[headline].values, parameters]
    return TableAnalysis(
        benchmark=benchmark.title,
        training=benchmark.training,
        informative_eps=benchmark.informative_eps,
        columns=columns,
        headline=headline,
        spearman=rank_correlations([column.values for column in columns]),
        kendall=kendall_correlations([column.values for column in columns]),
        parameters=parameters,
        mean_attacked=mean_attacked,
        spreads=spreads_at_equal_parameters(mean_attacked, connected()) if attacked else [],
        with_size=(float(rank_correlations(sized)[0, 1]), float(kendall_correlations(sized)[0, 1])),
        effects=[_effects(columns[place]) for place in dict.fromkeys([headline, *clean])],
    )


@cache
def connected() -> np.ndarray:
    """(6466,) bool: whether the output of each class depends on its input; the others can only guess."""
    return np.array([is_connected(int(index)) for index in representatives()])


def parameter_counts(classes: int) -> np.ndarray:
    """(6466,) parameters of the published networks: a fixed number, and one more for every convolution of a kind.

    Args:
        classes: K of the data set.
    """
    bare = _parameters("none", classes)
    return bare + operation_counts() @ np.array([_parameters(name, classes) - bare for name in PRIMITIVES])


def _parameters(operation: str, classes: int) -> int:
    """Of the network whose cell has one operation, on its first edge."""
    space = Nasbench201Space()
    genotype = space.genotype(string_of([operation, *["none"] * (len(EDGES) - 1)]))
    return sum(weights.numel() for weights in space.network(genotype, (3, 32, 32), classes).parameters())


def _columns(benchmark: TabularBenchmark, dataset: str) -> list[AnalysedColumn]:
    found = []
    for metric, eps in measurements(benchmark, dataset):
        kind: Kind = "clean" if metric == "clean" else "attack"
        found.append(AnalysedColumn(metric, eps, kind, benchmark.of_classes(dataset, metric, eps)))
    for metric, severity in corruption_measurements(benchmark, dataset):
        values = benchmark.of_classes(dataset, metric, severity=severity)
        found.append(AnalysedColumn(metric, severity, "corruption", values))
    return found


def _headline(columns: Sequence[AnalysedColumn], informative_eps: Sequence[float]) -> int:
    """PGD at the first telling eps that it has, else any attack, else the first column."""
    attacks = [(place, column) for place, column in enumerate(columns) if column.kind == "attack"]
    for eps in informative_eps:
        for place, column in attacks:
            if column.metric == "pgd" and column.level is not None and is_among(column.level, [eps]):
                return place
    return attacks[0][0] if attacks else 0


def _effects(column: AnalysedColumn) -> Effects:
    values = np.where(connected(), column.values, np.nan)
    return Effects(
        label=column.label,
        mean=float(np.nanmean(values)),
        by_count=means_by_operation_count(values),
        by_position=means_by_position(values),
        by_depth=means_by_depth(values),
    )
