"""The published accuracies that rankings are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dsrna.benchmarks.tabular_benchmark import TabularBenchmark
from dsrna.errors import ConfigError
from dsrna.spaces.names import unknown_name


@dataclass(frozen=True)
class Column:
    """One accuracy of one table, for some architectures.

    Attributes:
        benchmark: the table's title.
        training: how its networks were trained.
        metric: as in :meth:`~dsrna.benchmarks.tabular_benchmark.TabularBenchmark.query`.
        eps: radius in [0, 1] pixel units, or None.
        values: one a architecture, shares in [0, 1].
    """

    benchmark: str
    training: str
    metric: str
    eps: float | None
    values: np.ndarray

    @property
    def label(self) -> str:
        """See :func:`measurement_label`."""
        return measurement_label(self.metric, self.eps)


def measurement_label(metric: str, eps: float | None) -> str:
    """A metric with its eps in [0, 1], for tables.

    >>> measurement_label("pgd", 8 / 255)
    'pgd 8/255'
    """
    return metric if eps is None else f"{metric} {255 * eps:.4g}/255"


def accuracy_columns(
    benchmark: TabularBenchmark,
    dataset: str,
    indices: Sequence[int],
    metrics: Sequence[str] | None = None,
    eps: Sequence[float] | None = None,
) -> list[Column]:
    """The accuracies on clean and attacked images, means over seeds where there are several.

    Args:
        benchmark: a table.
        dataset: one of the benchmark's.
        indices: published indices.
        metrics: which; None for all. A metric that the table doesn't have is left out.
        eps: which radii, in [0, 1] pixel units; None for all. A radius that the table doesn't have is left out.

    Raises:
        ConfigError: there is no such data set.
        DataError: a file is missing or damaged, or has no entry for an architecture.
    """
    return [
        Column(
            benchmark.title,
            benchmark.training,
            metric,
            radius,
            benchmark.query_many(np.array(indices), dataset, metric, radius),
        )
        for metric, radius in measurements(benchmark, dataset)
        if (metrics is None or metric in metrics) and (radius is None or eps is None or is_among(radius, eps))
    ]


def measurements(benchmark: TabularBenchmark, dataset: str) -> Iterator[tuple[str, float | None]]:
    """(metric, eps) of all accuracies on images as they are or under attack."""
    for metric in benchmark.metrics(dataset):
        if metric.endswith(("_cm", "_confidence")):
            continue
        axes = {axis.name: axis for axis in benchmark.axes(dataset, metric)}
        if "severity" in axes:
            continue
        for radius in axes["eps"].levels if "eps" in axes else (None,):
            yield metric, None if radius is None else float(radius)


def corruption_measurements(benchmark: TabularBenchmark, dataset: str) -> Iterator[tuple[str, int]]:
    """(metric, severity) of all accuracies on corrupted images."""
    for metric in benchmark.metrics(dataset):
        if metric.endswith(("_cm", "_confidence")):
            continue
        for axis in benchmark.axes(dataset, metric):
            if axis.name == "severity":
                yield from ((metric, int(level)) for level in axis.levels)


def check_asked_for(
    benchmarks: Sequence[TabularBenchmark], dataset: str, metrics: Sequence[str] | None, eps: Sequence[float] | None
) -> None:
    """Refuses metrics and radii that none of the tables has.

    Raises:
        ConfigError: names the first.
    """
    known = [entry for benchmark in benchmarks for entry in measurements(benchmark, dataset)]
    names = list(dict.fromkeys(metric for metric, _ in known))
    for metric in metrics or ():
        if metric not in names:
            raise ConfigError(f"{unknown_name('metric', metric, names)} (conf: benchmark.metrics)")
    radii = sorted({radius for _, radius in known if radius is not None})
    for asked in eps or ():
        if not is_among(asked, radii):
            there = ", ".join(f"{255 * radius:g}/255" for radius in radii)
            raise ConfigError(f"No table has eps {255 * asked:g}/255; there are {there}. (conf: benchmark.eps)")


def is_among(radius: float, radii: Sequence[float]) -> bool:
    """Whether a radius is one of some, but for rounding."""
    return bool(np.isclose(radius, radii, rtol=1e-6, atol=0).any())
