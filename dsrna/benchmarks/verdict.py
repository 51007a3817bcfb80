"""What the published tables say of an architecture: its accuracies, its rank, and how far it is from the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsrna.benchmarks.classes import Architecture, representatives
from dsrna.benchmarks.columns import is_among, measurement_label, measurements
from dsrna.benchmarks.tabular_benchmark import TabularBenchmark
from dsrna.spaces.nasbench201.index import string_at


@dataclass(frozen=True)
class Verdict:
    """One published accuracy of an architecture, among all 6,466 classes of isomorphic architectures.

    Attributes:
        benchmark: its title.
        training: how its networks were trained.
        dataset, metric: as in :meth:`~dsrna.benchmarks.tabular_benchmark.TabularBenchmark.query`.
        eps: radius in [0, 1] pixel units, or None.
        accuracy: a share in [0, 1].
        rank: 1 for the best; one more than the number of classes that are better.
        classes: how many have this accuracy in the table.
        best: the best accuracy in the table.
        best_architecture: the architecture string of a class that has it.
        telling: False at radii at which the table's accuracies hardly tell networks apart.
        headline: whether it is the one to look at first, PGD at the most telling radius.
    """

    benchmark: str
    training: str
    dataset: str
    metric: str
    eps: float | None
    accuracy: float
    rank: int
    classes: int
    best: float
    best_architecture: str
    telling: bool
    headline: bool

    @property
    def regret(self) -> float:
        """best - accuracy, >= 0."""
        return self.best - self.accuracy

    @property
    def label(self) -> str:
        """See :func:`~dsrna.benchmarks.columns.measurement_label`."""
        return measurement_label(self.metric, self.eps)


def verdict(
    architecture: Architecture, benchmark: TabularBenchmark, dataset: str, eps: Sequence[float] | None = None
) -> list[Verdict]:
    """Clean and robust accuracies of an architecture, the means over seeds where there are several.

    Args:
        architecture: index, architecture string or genotype.
        benchmark: a table.
        dataset: one of the benchmark's.
        eps: which radii, in [0, 1] pixel units; None for all of the table.

    Returns:
        The clean accuracy, then one row an attack and eps.

    Raises:
        GenotypeError, ConfigError, DataError: see :meth:`~dsrna.benchmarks.tabular_benchmark.TabularBenchmark.query`.
    """
    return [
        _verdict(architecture, benchmark, dataset, metric, radius)
        for metric, radius in measurements(benchmark, dataset)
        if radius is None or eps is None or is_among(radius, eps)
    ]


def _verdict(
    architecture: Architecture, benchmark: TabularBenchmark, dataset: str, metric: str, eps: float | None
) -> Verdict:
    accuracy = benchmark.query(architecture, dataset, metric, eps)
    values = benchmark.of_classes(dataset, metric, eps)
    return Verdict(
        benchmark=benchmark.title,
        training=benchmark.training,
        dataset=dataset,
        metric=metric,
        eps=eps,
        accuracy=accuracy,
        rank=1 + int((values > accuracy).sum()),
        classes=int(np.isfinite(values).sum()),
        best=float(np.nanmax(values)),
        best_architecture=string_at(int(representatives()[np.nanargmax(values)])),
        telling=eps is None or is_among(eps, benchmark.informative_eps),
        headline=metric == "pgd" and eps is not None and is_among(eps, benchmark.informative_eps[:1]),
    )
