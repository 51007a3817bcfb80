"""NAS-RobBench-201: all architectures, adversarially trained."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dsrna.benchmarks.classes import representatives
from dsrna.benchmarks.converted import converted, folder_for
from dsrna.benchmarks.original_files import check_accuracies, class_rows, read_json
from dsrna.benchmarks.table import MEAN, Axis, Table
from dsrna.benchmarks.tabular_benchmark import TabularBenchmark
from dsrna.errors import ConfigError, DataError
from dsrna.spaces.names import unknown_name

FILE_NAME = "NAS-RobBench-201_all.json"

_DATASETS = {"imagenet": "imagenet16_120"}
_ATTACK = re.compile(r"^val_([a-z]+)_([0-9.]+)_acc$")
_PUBLISHED_MEAN = "threeseed"


class NasRobBench201(TabularBenchmark):
    """Accuracies after adversarial training (PGD-7, l_inf 8/255, 50 epochs) on the test images of each data set.

    Metrics: ``clean``; ``fgsm`` and ``pgd`` (20 steps), each at eps 3/255 and 8/255; ``autoattack``. ``seed`` is a
    training run, 1 to 3; None is the published mean of the three. AutoAttack has no seeds, and its eps isn't stated.

    The file's layout: ``[data set][index of a class][metric][seed]``, metrics being ``val_acc``, ``val_pgd_8.0_acc``
    and so on, and ``autoattack`` a bare number. Despite the prefix ``val_``, they were measured on the test images.

    Args:
        path: the file, or the folder that has it under its original name.
        cache: where converted tables are kept; None: the user's cache folder.

    Raises:
        DataError: the file is missing, truncated or another one.

    Source: Wu et al., ICLR 2024.
    """

    title = "NAS-RobBench-201"
    training = "adversarial training"
    citation = (
        "Wu, Liu, Simon-Gabriel, Chrysos, Cevher, Robust NAS under adversarial training: benchmark, theory, and "
        "beyond, ICLR 2024 (arXiv 2403.13134)"
    )
    origin = "the benchmark's project page, which its paper links to"
    informative_eps = (8 / 255, 3 / 255)

    def __init__(self, path: Path, cache: Path | None = None) -> None:
        path = path / FILE_NAME if path.is_dir() else path
        if not path.is_file():
            raise DataError(
                f"Expected the table of {self.title} at {path}, found nothing. {self._where_from(FILE_NAME)}"
            )
        tables = converted([path], folder_for(path, cache), lambda: _convert(path))
        self._tables: dict[str, dict[str, Table]] = {}
        for name, table in tables.items():
            dataset, metric = name.split("/")
            self._tables.setdefault(dataset, {})[metric] = table

    @property
    def datasets(self) -> tuple[str, ...]:
        """See :attr:`dsrna.benchmarks.tabular_benchmark.TabularBenchmark.datasets`."""
        return tuple(self._tables)

    def metrics(self, dataset: str) -> tuple[str, ...]:
        """See :meth:`dsrna.benchmarks.tabular_benchmark.TabularBenchmark.metrics`."""
        if dataset not in self._tables:
            raise ConfigError(f"{self.title}: {unknown_name('data set', dataset, self._tables)}")
        return tuple(self._tables[dataset])

    def table(self, dataset: str, metric: str) -> Table:
        """See :meth:`dsrna.benchmarks.tabular_benchmark.TabularBenchmark.table`."""
        known = self.metrics(dataset)
        if metric not in known:
            raise ConfigError(f"{self.title}: {unknown_name('metric', metric, known)}")
        return self._tables[dataset][metric]


def _convert(path: Path) -> dict[str, Table]:
    content = read_json(path)
    if not isinstance(content, dict) or not content or not all(isinstance(part, dict) for part in content.values()):
        raise DataError(f"{path}: expected data sets at the top; is this the right file?")
    tables = {}
    for dataset, networks in content.items():
        rows = class_rows(networks, path)
        for metric, keys in _metrics(networks.values(), path).items():
            table = _table(keys, list(networks.values()), rows, path)
            check_accuracies(table.values, path)
            tables[f"{_DATASETS.get(dataset, dataset)}/{metric}"] = table
    return tables


def _metrics(networks: Iterable[Any], path: Path) -> dict[str, dict[float | None, str]]:
    """Our metric -> its eps in [0, 1], or None -> the file's key."""
    metrics: dict[str, dict[float | None, str]] = {}
    for network in networks:
        if not isinstance(network, dict):
            raise DataError(f"{path}: expected metrics for every architecture, got {type(network).__name__}.")
        for key in network:
            attack = _ATTACK.match(key)
            if attack:
                metrics.setdefault(attack[1], {})[float(attack[2]) / 255] = key
            else:
                metrics.setdefault("clean" if key == "val_acc" else key, {})[None] = key
    return metrics


def _table(keys: dict[float | None, str], networks: list[dict[str, Any]], rows: np.ndarray, path: Path) -> Table:
    seeds = sorted({seed for key in keys.values() for network in networks for seed in _by_seed(network.get(key, {}))})
    eps = sorted(level for level in keys if level is not None)
    columns = np.full((len(keys), len(seeds), len(representatives())), np.nan)
    in_order = [keys[level] for level in eps] or list(keys.values())
    for level, key in enumerate(in_order):
        for row, network in zip(rows, networks, strict=True):
            for seed, value in _by_seed(network.get(key, {})).items():
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise DataError(f"{path}: expected a number as {key} of seed {seed!r}, got {value!r}.")
                columns[level, seeds.index(seed), row] = value
    axes = [Axis("eps", tuple(eps))] if eps else []
    values = columns if eps else columns[0]
    if seeds == [""]:
        return Table(tuple(axes), values[..., 0, :])
    names = [MEAN if seed == _PUBLISHED_MEAN else seed for seed in seeds]
    if MEAN not in names:
        names.append(MEAN)
        values = np.concatenate([values, values.mean(axis=-2, keepdims=True)], axis=-2)
    return Table((*axes, Axis("seed", tuple(names))), values)


def _by_seed(value: Any) -> dict[str, Any]:
    """Seed -> value; a bare number stands under the empty name."""
    return value if isinstance(value, dict) else {"": value}
