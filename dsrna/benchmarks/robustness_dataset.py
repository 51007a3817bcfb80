"""The robustness dataset: all architectures, trained as usual, under attacks and corruptions."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dsrna.benchmarks.converted import converted, folder_for
from dsrna.benchmarks.original_files import by_class, check_accuracies, entry, read_json
from dsrna.benchmarks.table import Axis, Table
from dsrna.benchmarks.tabular_benchmark import TabularBenchmark
from dsrna.errors import ConfigError, DataError
from dsrna.spaces.names import unknown_name
from dsrna.spaces.nasbench201.index import COUNT, isomorphs, string_at

DATASETS = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16_120": "ImageNet16-120"}
"""Our names of the data sets -> the names of their folders."""

ATTACKS = {"fgsm": "fgsm@Linf", "pgd": "pgd@Linf", "apgd_ce": "aa_apgd-ce@Linf", "square": "aa_square@Linf"}
"""Our names of the attacks -> the dataset's keys."""

CORRUPTIONS = (
    *("brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost", "gaussian_noise", "glass_blur"),
    *("impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "shot_noise", "snow", "zoom_blur"),
)

_KEYS = {"clean": "clean", **ATTACKS, **{name: name for name in CORRUPTIONS}}
_MEASURES = ("accuracy", "confidence", "cm")


class RobustnessDataset(TabularBenchmark):
    """Results of networks trained without adversary, on the test images of each data set.

    Metrics: ``clean``; the attacks ``fgsm``, ``pgd`` (40 steps), ``apgd_ce`` and ``square``, all l_inf, at the eps of
    their grids; 15 corruptions at ``severity`` 1 to 5 (not on ImageNet16-120). A metric's name alone is the accuracy;
    ``clean_cm``, ``pgd_confidence`` and so on are the confusion matrices and confidences, where their files are there.

    Files: ``meta.json`` and ``<data set>/<key>_<measure>.json`` with ``[data set][key][measure][index of a class]``.
    A file is converted when it is first asked for.

    Args:
        folder: the folder that has ``meta.json``.
        cache: where converted tables are kept; None: the user's cache folder.

    Raises:
        DataError: the folder has no ``meta.json``.

    Source: Jung, Lukasik, Keuper, ICLR 2023.
    """

    title = "the robustness dataset"
    training = "standard training"
    citation = (
        "Jung, Lukasik, Keuper, Neural Architecture Design and Robustness: A Dataset, ICLR 2023 (arXiv 2306.06712)"
    )
    origin = "http://data.robustness.vision"
    informative_eps = (1 / 255,)  # from about 4/255 on, networks trained without adversary have no accuracy left

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self._folder = folder
        self._cache = cache
        self._tables: dict[tuple[str, str], Table] = {}
        if not self._meta_path.is_file():
            raise DataError(
                f"Expected meta.json of {self.title} in {folder}, found nothing. "
                + self._where_from("meta.zip and e.g. cifar10.zip")
            )

    @property
    def datasets(self) -> tuple[str, ...]:
        """See :attr:`dsrna.benchmarks.tabular_benchmark.TabularBenchmark.datasets`."""
        return tuple(name for name, folder in DATASETS.items() if (self._folder / folder).is_dir())

    def metrics(self, dataset: str) -> tuple[str, ...]:
        """See :meth:`dsrna.benchmarks.tabular_benchmark.TabularBenchmark.metrics`."""
        if dataset not in DATASETS:
            raise ConfigError(f"{self.title}: {unknown_name('data set', dataset, DATASETS)}")
        return tuple(metric for metric in _all_metrics() if self._path(dataset, metric).is_file())

    def table(self, dataset: str, metric: str) -> Table:
        """See :meth:`dsrna.benchmarks.tabular_benchmark.TabularBenchmark.table`."""
        if (dataset, metric) not in self._tables:
            self._tables[dataset, metric] = self._open(dataset, metric)
        return self._tables[dataset, metric]

    def _open(self, dataset: str, metric: str) -> Table:
        there = self.metrics(dataset)
        if metric not in _all_metrics():
            raise ConfigError(f"{self.title}: {unknown_name('metric', metric, there or _KEYS)}")
        path = self._path(dataset, metric)
        if metric not in there:
            raise DataError(
                f"Expected {metric} on {dataset} of {self.title} at {path}, found nothing. "
                + self._where_from(f"{DATASETS[dataset]}.zip")
            )
        stored = converted(
            [path, self._meta_path], folder_for(path, self._cache), lambda: {"table": self._convert(dataset, metric)}
        )
        return stored["table"]

    @property
    def _meta_path(self) -> Path:
        return self._folder / "meta.json"

    @cached_property
    def _epsilons(self) -> dict[str, Any]:
        """The grids of eps in 1/255, by the dataset's keys; ``meta.json`` is checked on the way."""
        meta = read_json(self._meta_path)
        for key, described in entry(meta, self._meta_path, "ids").items():
            found = [entry(described, self._meta_path, name) for name in ("nb201-string", "isomorph")]
            known = _string_and_class(key)
            if found != known:
                raise DataError(
                    f"{self._meta_path}: architecture {key} is {found[0]!r} of class {found[1]} there, and "
                    f"{known[0]!r} of class {known[1]} in NAS-Bench-201; is this the right file?"
                )
        return entry(meta, self._meta_path, "epsilons")

    def _path(self, dataset: str, metric: str) -> Path:
        name, measure = _split(metric)
        return self._folder / DATASETS[dataset] / f"{_KEYS[name]}_{measure}.json"

    def _convert(self, dataset: str, metric: str) -> Table:
        path = self._path(dataset, metric)
        name, measure = _split(metric)
        values = by_class(entry(read_json(path), path, DATASETS[dataset], _KEYS[name], measure), path)
        if measure == "accuracy":
            check_accuracies(values, path)
        axis = self._axis(name)
        if axis is None:
            return Table((), values)
        if values.ndim < 2 or values.shape[1] != len(axis.levels):
            raise DataError(
                f"{path}: expected {len(axis.levels)} numbers an architecture, for {axis.name} {axis.choices}, got an "
                f"array of shape {values.shape[1:]}."
            )
        return Table((axis,), np.ascontiguousarray(np.moveaxis(values, 1, 0)))

    def _axis(self, name: str) -> Axis | None:
        if name in ATTACKS:
            grid = entry(self._epsilons, self._meta_path, ATTACKS[name])
            return Axis("eps", tuple(float(eps) / 255 for eps in grid))
        return Axis("severity", (1, 2, 3, 4, 5)) if name in CORRUPTIONS else None


def _string_and_class(key: str) -> list[str | None]:
    """Architecture string and class of an index that is given as text; None for what is no index."""
    if not key.isdecimal() or int(key) >= COUNT:
        return [None, None]
    return [string_at(int(key)), str(isomorphs()[int(key)])]


def _all_metrics() -> list[str]:
    return [*_KEYS, *(f"{name}_{measure}" for name in _KEYS for measure in _MEASURES[1:])]


def _split(metric: str) -> tuple[str, str]:
    """A metric's name and its measure."""
    for measure in _MEASURES[1:]:
        if metric.endswith(f"_{measure}"):
            return metric.removesuffix(f"_{measure}"), measure
    return metric, _MEASURES[0]
