"""Columns by name, ``TABLE/NAME@LEVEL``: what the published tables say of every architecture of NAS-Bench-201."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.published import ROBUSTNESS_FOLDER
from dsrna.benchmarks.published_proxies import PublishedProxies
from dsrna.benchmarks.robustness_dataset import RobustnessDataset
from dsrna.benchmarks.sizes import SIZES, sizes
from dsrna.benchmarks.tabular_benchmark import TabularBenchmark
from dsrna.config.parts import located, number
from dsrna.config.settings import DataSettings
from dsrna.errors import ConfigError
from dsrna.ranking.settings import TableSettings
from dsrna.runs.sources import tables_folder
from dsrna.spaces.names import unknown_name
from dsrna.spaces.nasbench201.index import COUNT
from dsrna.types import Threat

TABLES = ("robbench", "robustness", "published", "size")

_PROXIES_OF = "cifar10"


@dataclass(frozen=True)
class Column:
    """One number of every architecture.

    Attributes:
        name: as the settings have it.
        kind: what it is.
        values: (15625,) by published index, higher = better, so that sizes are negative; NaN where there is none.
        own: how many architectures have a value that isn't taken from isomorphic ones.
    """

    name: str
    kind: Literal["accuracy", "proxy", "size"]
    values: np.ndarray
    own: int = COUNT


class Columns:
    """Opens the tables that are asked for.

    Args:
        settings: of which data set they are, and where, if not in the data root.
        data: has the data root.
    """

    def __init__(self, settings: TableSettings, data: DataSettings) -> None:
        self._root, self._key = tables_folder(settings.root, data.root)
        self._dataset = settings.dataset
        self._found: dict[str, Column] = {}

    def column(self, name: str, key: str) -> Column:
        """A column.

        Args:
            name: ``TABLE/NAME`` or ``TABLE/NAME@LEVEL``; the level is an attack's eps or a corruption's severity.
            key: the setting that asks for it, for messages.

        Raises:
            ConfigError: there is no such column.
            DataError: a table is missing or damaged.
        """
        if name not in self._found:
            with located(key):
                self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> Column:
        table, _, rest = name.partition("/")
        measure, _, level = rest.partition("@")
        if table not in TABLES or not measure:
            raise ConfigError(
                f"Expected a column TABLE/NAME or TABLE/NAME@EPS with a table of {', '.join(TABLES)}, as in "
                f"robbench/pgd@8/255, got {name!r}."
            )
        if table == "size":
            if rest not in SIZES:
                raise ConfigError(f"{name}: {unknown_name('size', rest, SIZES)}")
            return Column(name, "size", -sizes(rest))
        if table == "published":
            if self._dataset != _PROXIES_OF:
                raise ConfigError(f"Published proxy values are of {_PROXIES_OF}, so that {name} can't be looked up.")
            return Column(name, "proxy", self._proxies.column(rest), self._proxies.architectures)
        benchmark = self._robbench if table == "robbench" else self._robustness
        return Column(name, "accuracy", self._accuracy(benchmark, measure, level, name))

    def _accuracy(self, benchmark: TabularBenchmark, metric: str, level: str, name: str) -> np.ndarray:
        if self._dataset not in benchmark.datasets:
            raise ConfigError(
                f"{benchmark.title} has no data set {self._dataset!r} here; there are: "
                f"{', '.join(benchmark.datasets)}. (conf: benchmark.dataset)"
            )
        given: dict[str, float] = {}
        if level:
            axes = [axis.name for axis in benchmark.axes(self._dataset, metric)]
            value = _number(level, name)
            given = {"severity": value} if "severity" in axes else {"eps": _eps(value, name)}
        values = benchmark.query_many(np.arange(COUNT), self._dataset, metric, **given)  # type: ignore[arg-type]
        if values.ndim != 1:
            raise ConfigError(f"{name} is an array for every architecture, not one number.")
        return values.astype(np.float64)

    @cached_property
    def _robbench(self) -> NasRobBench201:
        with located(self._key):
            return NasRobBench201(self._root)

    @cached_property
    def _robustness(self) -> RobustnessDataset:
        with located(self._key):
            return RobustnessDataset(self._root / ROBUSTNESS_FOLDER)

    @cached_property
    def _proxies(self) -> PublishedProxies:
        with located(self._key):
            return PublishedProxies(self._root)


def _eps(value: float, name: str) -> float:
    try:
        return Threat("linf", value).eps
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _number(level: str, name: str) -> float:
    try:
        return number(level if "/" in level else float(level), name)
    except ValueError as error:
        raise ConfigError(f"Expected a number or a fraction such as 8/255 after the @ of {name}.") from error
