"""Making a table: every architecture is retrained and evaluated in a run folder of its own, then collected."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dsrna.benchmarks.own_tables import TrainedNetwork, check_layout, write_table
from dsrna.config.compose import key_of
from dsrna.config.settings import Settings
from dsrna.config.validate import attack_grid
from dsrna.console import echo
from dsrna.data.splits import Splits
from dsrna.files import write_json
from dsrna.json_files import read_document
from dsrna.run_folder import RunFolder
from dsrna.runs.command import Program
from dsrna.runs.inside import run_inside
from dsrna.runs.request import Request
from dsrna.runs.sources import load_splits
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.stages.rehearsal import rehearse
from dsrna.stages.run import STAGES
from dsrna.tables.settings import BenchmarkTrainingSettings, architectures

log = logging.getLogger("dsrna")

SCHEMA = "dsrna.trained_network"
VERSION = 1
_RESULT = "result.json"


@dataclass(frozen=True)
class Training:
    """A table to be made, whose images are known to be usable.

    Attributes:
        request: the job.
        splits: the images.
    """

    request: Request[BenchmarkTrainingSettings]
    splits: Splits
    data = None  # each network's own run folder notes its images
    first_lines = ()


def prepare(request: Request[BenchmarkTrainingSettings]) -> Training:
    """Loads the data, for which the table must have a place."""
    splits = load_splits(request.settings)
    check_layout(request.settings.layout, splits.name, (), ())
    return Training(request, splits)


def check(training: Training) -> None:
    """Builds without memory what the stages of a network will build."""
    settings = training.request.settings
    genotype = Nasbench201Space().genotype(architectures(settings)[0])
    rehearse(settings, training.splits, settings.stages, genotype)


def stages(settings: BenchmarkTrainingSettings) -> dict[str, Callable[[Training], None]]:
    """One a network, then the table.

    In the run folder: ``networks/INDEX_seedSEED/``, a run folder of the retrain and evaluate stages with the network's
    ``result.json`` for each training run, and ``table/``, the table of all.
    """
    runs = [(index, seed) for index in architectures(settings) for seed in settings.seeds]
    found: dict[str, Callable[[Training], None]] = {}
    for number, (index, seed) in enumerate(runs, start=1):
        name, which = f"{index}_seed{seed}", f"network {number} of {len(runs)}"
        found[name] = partial(_train_one, name=name, which=which, index=index, seed=seed)
    return found | {"table": _write_tables}


def _write_tables(training: Training) -> None:
    for table in collect(training.request.folder):
        log.info("table: %s", table)


def collect(folder: Path) -> list[Path]:
    """Writes the table of all networks that were trained in the folders below, one for each layout and data set.

    Returns:
        What the readers of :mod:`dsrna.benchmarks` take.

    Raises:
        ConfigError: the networks were measured differently.
        CheckpointError: a result is damaged.
    """
    found: dict[tuple[str, str], list[TrainedNetwork]] = defaultdict(list)
    for path in sorted(folder.rglob(f"networks/*/{_RESULT}")):
        stored = read_document(path, SCHEMA, VERSION)
        attacks = {name: dict(map(tuple, pairs)) for name, pairs in stored["attacks"].items()}
        network = TrainedNetwork(stored["index"], stored["seed"], stored["clean"], attacks, stored["corruptions"])
        found[stored["layout"], stored["dataset"]].append(network)
    return [write_table(of, layout, dataset, folder / "table") for (layout, dataset), of in found.items()]


def _train_one(training: Training, name: str, which: str, index: int, seed: int) -> None:
    """The retrain and evaluate stages of one network, in a run folder of its own."""
    outer, architecture = training.request, string_at(index)
    log.info("%s: architecture %d, %s, seed %d", which, index, architecture, seed)
    plain = {key: getattr(outer.settings, key) for key in Settings.model_fields}
    settings = Settings.model_construct(**plain | {"start_from": architecture, "seed": seed, "name": name})
    folder = run_inside(
        STAGES,
        outer,
        "retrain",
        settings,
        outer.folder / "networks" / name,
        _data_overrides(outer.overrides),
        config=outer.config | {"seed": seed, "name": name, "from": architecture},
        choices=outer.choices,
    )
    result = _result(folder, outer.settings, training.splits.name, index, seed)
    log.info("%s: %s", which, _summary_line(result))


def _data_overrides(overrides: Sequence[str]) -> list[str]:
    """What `from=` replays when a network is evaluated again: its space and its data."""
    own = [override for override in overrides if key_of(override).split(".")[0] == "data"]
    chosen = [] if any(key_of(override) == "data" for override in own) else ["data=cifar10"]
    return ["space=nasbench201", *chosen, *own]


def _result(
    folder: RunFolder, settings: BenchmarkTrainingSettings, dataset: str, index: int, seed: int
) -> dict[str, Any]:
    """Reads ``evaluation.json`` and writes ``result.json``."""
    evaluated = (folder.read_evaluation() or {})["networks"]["retrain"]
    records = iter(evaluated["result"]["grid"])  # in the grid's order
    attacks = {
        name: [[ball.eps, next(records)["accuracy"]] for ball in balls]
        for name, (_, balls) in attack_grid(settings).items()
    }
    corruptions: dict[str, list[float]] = defaultdict(list)
    for record in (evaluated["corruptions"] or {}).get("records", ()):  # severities ascend
        corruptions[record["corruption"]].append(record["accuracy"])
    network = TrainedNetwork(index, seed, evaluated["result"]["clean"]["accuracy"])
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "layout": settings.layout,
        "dataset": dataset,
        "architecture": string_at(index),
        **asdict(network),
        "attacks": attacks,
        "corruptions": dict(corruptions),
    }
    write_json(folder.path / _RESULT, document)
    return document


def _summary_line(result: dict[str, Any]) -> str:
    parts = [f"clean {100 * result['clean']:.2f} %"]
    for name, pairs in result["attacks"].items():
        parts += [f"{name} {255 * eps:g}/255 {100 * accuracy:.2f} %" for eps, accuracy in pairs]
    if result["corruptions"]:
        every = [accuracy for found in result["corruptions"].values() for accuracy in found]
        parts.append(f"corrupted, mean {100 * sum(every) / len(every):.2f} %")
    return ", ".join(parts)


def _finish_sweep(folder: Path) -> None:
    """Writes one table of all jobs of a multirun."""
    for table in collect(folder):
        echo(f"table over the jobs: {table}")


TRAINING: Program[BenchmarkTrainingSettings, Training] = Program(
    prepare=prepare,
    check=check,
    stages=stages,
    product=lambda folder: folder.path / "table",
    finish_sweep=_finish_sweep,
)
