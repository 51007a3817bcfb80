"""What every tabular benchmark offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from dsrna.benchmarks.classes import Architecture, checked_indices, index_of_architecture, representatives, rows
from dsrna.benchmarks.table import Axis, Table
from dsrna.errors import ConfigError, DataError


class TabularBenchmark(ABC):
    """Published results of all NAS-Bench-201 architectures; isomorphic architectures share theirs.

    Attributes:
        title: name of the benchmark.
        training: how its networks were trained, one phrase.
        citation: the publication.
        origin: where its files come from.
        informative_eps: radii in [0, 1] at which its accuracies tell networks apart, the most telling one first.
    """

    title: ClassVar[str]
    training: ClassVar[str]
    citation: ClassVar[str]
    origin: ClassVar[str]
    informative_eps: ClassVar[tuple[float, ...]]

    @property
    @abstractmethod
    def datasets(self) -> tuple[str, ...]:
        """Data sets, of cifar10, cifar100, imagenet16_120, for which there are results."""

    @abstractmethod
    def metrics(self, dataset: str) -> tuple[str, ...]:
        """Metrics for which there are results on a data set.

        Raises:
            ConfigError: there is no such data set.
        """

    @abstractmethod
    def table(self, dataset: str, metric: str) -> Table:
        """Everything known of a metric.

        Raises:
            ConfigError: there is no such data set or metric.
            DataError: its file is missing or damaged.
        """

    def axes(self, dataset: str, metric: str) -> tuple[Axis, ...]:
        """The levels at which a metric was measured."""
        return self.table(dataset, metric).axes

    def query(
        self,
        architecture: Architecture,
        dataset: str,
        metric: str,
        eps: float | None = None,
        severity: int | None = None,
        seed: int | None = None,
    ) -> float:
        """One published number.

        Args:
            architecture: index, architecture string or genotype.
            dataset: one of :attr:`datasets`.
            metric: one of :meth:`metrics`; accuracies are shares in [0, 1].
            eps: radius in [0, 1] pixel units (8 / 255), for attacks.
            severity: 1 to 5, for corruptions.
            seed: one training run, for benchmarks with several; None: their mean.

        Raises:
            GenotypeError: there is no such architecture.
            ConfigError: there is no such data set, metric, eps, severity or seed; or the metric isn't one number an
                architecture.
            DataError: a file is missing or damaged, or has no entry for the architecture.
        """
        index = index_of_architecture(architecture)
        values = self._column(dataset, metric, eps, severity, seed)
        if values.ndim != 1:
            raise ConfigError(
                f"{metric} on {dataset} is an array of shape {values.shape[1:]} an architecture: use `query_many`."
            )
        return float(self._entries(values, np.array([index]), dataset, metric)[0])

    def query_many(
        self,
        indices: np.ndarray,
        dataset: str,
        metric: str,
        eps: float | None = None,
        severity: int | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        """Published numbers of many architectures at once; see :meth:`query`.

        Args:
            indices: published indices, of any shape; repeats are fine.

        Returns:
            An array of the shape of ``indices``, followed by the shape of one architecture's entry where that is no
            single number.
        """
        return self._entries(
            self._column(dataset, metric, eps, severity, seed), checked_indices(indices), dataset, metric
        )

    def of_classes(
        self,
        dataset: str,
        metric: str,
        eps: float | None = None,
        severity: int | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        """(6466, …) numbers, one an isomorphism class in the order of its smallest index; NaN where there is none."""
        return self._column(dataset, metric, eps, severity, seed)

    def _column(
        self, dataset: str, metric: str, eps: float | None, severity: int | None, seed: int | None
    ) -> np.ndarray:
        subject = f"{metric} on {dataset} in {self.title}"
        return self.table(dataset, metric).at(subject, eps=eps, severity=severity, seed=seed)

    def _entries(self, values: np.ndarray, indices: np.ndarray, dataset: str, metric: str) -> np.ndarray:
        found = values[rows()[indices]]
        if np.issubdtype(found.dtype, np.floating) and bool(np.isnan(found).any()):
            missing = indices[np.isnan(found).reshape(*indices.shape, -1).any(axis=-1)].ravel()[0]
            stands_for = representatives()[rows()[missing]]
            raise DataError(
                f"{self.title} has no {metric} on {dataset} for architecture {missing} (class {stands_for}): "
                "the file is incomplete. " + self._where_from("a whole one")
            )
        return found

    def lacks(self, dataset: str, root: Path) -> str:
        """What to tell when the files in a folder say nothing of a data set."""
        return f"{self.title} has no results on {dataset} in {root}. {self._where_from('them')}"

    def _where_from(self, what: str) -> str:
        return f"Get {what} from {self.origin}. Please cite: {self.citation}."
