"""Tables of networks that were trained here, in the layouts of the published ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from dsrna.benchmarks.nas_robbench_201 import FILE_NAME
from dsrna.benchmarks.robustness_dataset import ATTACKS, CORRUPTIONS, DATASETS
from dsrna.errors import ConfigError
from dsrna.files import write_json
from dsrna.spaces.names import unknown_name
from dsrna.spaces.nasbench201.index import COUNT, isomorphs, string_at

LAYOUTS = ("nas_robbench_201", "robustness_dataset")

_ROBBENCH_ATTACKS = ("fgsm", "pgd", "autoattack")
_ROBBENCH_DATASETS = {"imagenet16_120": "imagenet"}
_RUNS_OF_A_PUBLISHED_MEAN = 3


@dataclass(frozen=True)
class TrainedNetwork:
    """What was measured of one training run of one architecture.

    Attributes:
        index: published index of the architecture.
        seed: of the run.
        clean: accuracy in [0, 1], as all others.
        attacks: our name of an attack -> eps in [0, 1] -> accuracy.
        corruptions: name -> accuracies at severities 1 to 5.
    """

    index: int
    seed: int
    clean: float
    attacks: dict[str, dict[float, float]] = field(default_factory=dict)
    corruptions: dict[str, list[float]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The index of the class of isomorphic architectures, as the tables have it."""
        return str(isomorphs()[self.index])


def check_layout(layout: str, dataset: str, attacks: Iterable[str], corruptions: Iterable[str]) -> None:
    """Refuses what a layout has no place for.

    Raises:
        ConfigError: the layout is unknown, or lacks the data set, an attack or a corruption.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"{unknown_name('layout', layout, LAYOUTS)}. (conf: layout)")
    if dataset not in DATASETS:
        raise ConfigError(
            f"Expected one of the tables' data sets, {', '.join(DATASETS)}, got {dataset}. Other images under such a "
            "name can be read by data=arrays +data.source.name=NAME. (conf: data)"
        )
    known = list(ATTACKS) if layout == "robustness_dataset" else list(_ROBBENCH_ATTACKS)
    for name in attacks:
        if name not in known:
            raise ConfigError(f"{unknown_name('attack of the layout ' + layout, name, known)}. (conf: evaluate.grid)")
    places = CORRUPTIONS if layout == "robustness_dataset" else ()
    for name in corruptions:
        if name not in places:
            raise ConfigError(f"The layout {layout} has no place for corruption {name!r}. (conf: evaluate.corruptions)")


def write_table(networks: Sequence[TrainedNetwork], layout: str, dataset: str, folder: Path) -> Path:
    """Writes a table that the readers of :mod:`dsrna.benchmarks` read like a published one.

    NAS-RobBench-201: every run under its seed, their mean too where there are three, as published; AutoAttack's mean
    over the runs at the one eps it has. Robustness dataset: means over the runs, since it has no place for seeds;
    accuracies alone, without confidences and confusion matrices.

    Differs from the published tables: an image that is misclassified without an attack counts as misclassified under
    it, also where the attack happens to put it right.

    Args:
        networks: what was measured, every network by the same attacks and corruptions.
        layout: one of :data:`LAYOUTS`.
        dataset: our name of the data set.
        folder: where the files go; a file that is there is replaced.

    Returns:
        What a reader takes: the file of NAS-RobBench-201, or the folder of the robustness dataset.

    Raises:
        ConfigError: networks were measured differently, so that they make no table.
    """
    _check_alike(networks)
    runs: dict[str, list[TrainedNetwork]] = {}
    for network in sorted(networks, key=lambda one: (int(one.key), one.seed)):
        runs.setdefault(network.key, []).append(network)
    if layout == "nas_robbench_201":
        content = {_ROBBENCH_DATASETS.get(dataset, dataset): {key: _robbench(runs[key]) for key in runs}}
        write_json(folder / FILE_NAME, content)
        return folder / FILE_NAME
    _write_robustness_dataset(runs, DATASETS[dataset], folder)
    return folder


def _check_alike(networks: Sequence[TrainedNetwork]) -> None:
    measured = {
        str((sorted((name, sorted(found)) for name, found in one.attacks.items()), sorted(one.corruptions)))
        for one in networks
    }
    if len(measured) != 1:
        raise ConfigError(
            f"Expected all networks of a table to be measured by the same attacks and corruptions, got {len(measured)} "
            "different ways. Make a table of each."
        )


def _robbench(runs: list[TrainedNetwork]) -> dict[str, Any]:
    measured = {"val_acc": [run.clean for run in runs]}
    entry: dict[str, Any] = {}
    for name, found in runs[0].attacks.items():
        for eps in sorted(found):
            values = [run.attacks[name][eps] for run in runs]
            if name == "autoattack":
                entry["autoattack"] = fmean(values)
            else:
                measured[f"val_{name}_{_in_levels(eps)}_acc"] = values
    for key, values in measured.items():
        entry[key] = {str(run.seed): value for run, value in zip(runs, values, strict=True)}
        if len(runs) == _RUNS_OF_A_PUBLISHED_MEAN:
            entry[key]["threeseed"] = fmean(values)
    return entry


def _write_robustness_dataset(runs: dict[str, list[TrainedNetwork]], dataset: str, folder: Path) -> None:
    def write(key: str, entries: dict[str, Any]) -> None:
        write_json(folder / dataset / f"{key}_accuracy.json", {dataset: {key: {"accuracy": entries}}})

    first = next(iter(runs.values()))[0]
    grids = {name: sorted(found) for name, found in first.attacks.items()}
    write("clean", {key: fmean(run.clean for run in of) for key, of in runs.items()})
    for name, grid in grids.items():
        means = {key: [fmean(run.attacks[name][eps] for run in of) for eps in grid] for key, of in runs.items()}
        write(ATTACKS[name], means)
    for name in first.corruptions:
        by_severity = {key: zip(*(run.corruptions[name] for run in of), strict=True) for key, of in runs.items()}
        write(name, {key: [fmean(values) for values in severities] for key, severities in by_severity.items()})
    ids = {
        str(index): {"nb201-string": string_at(index), "isomorph": str(isomorphs()[index])} for index in range(COUNT)
    }
    epsilons = {ATTACKS[name]: [_in_levels(eps) for eps in grid] for name, grid in grids.items()}
    write_json(folder / "meta.json", {"ids": ids, "epsilons": epsilons})


def _in_levels(eps: float) -> float:
    """A radius in 1/255, without the rounding errors of its division."""
    return round(eps * 255, 6)
