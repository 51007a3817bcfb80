"""Making a table: every architecture is retrained and evaluated in a run folder of its own, then collected."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from dsrna.benchmarks.own_tables import TrainedNetwork, check_layout, write_table
from dsrna.config.benchmark_train import architectures
from dsrna.config.compose import key_of
from dsrna.config.fingerprint import fingerprint_of
from dsrna.config.request import Request
from dsrna.config.settings import BenchmarkTrainingSettings, Settings
from dsrna.config.validate import attack_grid
from dsrna.files import write_json
from dsrna.json_files import read_document
from dsrna.pipeline.folders import at_work, create, do_stage, unfinished
from dsrna.pipeline.job import load_splits
from dsrna.pipeline.logs import logging_to
from dsrna.pipeline.rehearsal import rehearse
from dsrna.pipeline.run import run
from dsrna.run_folder import RunFolder
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.training.fit import device_name, device_of

log = logging.getLogger("dsrna")

SCHEMA = "dsrna.trained_network"
VERSION = 1
_RESULT = "result.json"


def train(request: Request[BenchmarkTrainingSettings]) -> None:
    """Trains and evaluates what is asked for, or goes on where it stopped, and writes the table.

    In the run folder: ``networks/INDEX_seedSEED/``, a run folder of the retrain and evaluate stages with the network's
    ``result.json`` for each training run, and ``table/``, the table of all.

    Raises:
        DsrnaError: with a message for the user; the run folders keep what was done.
        Interrupted: by a signal; the state is saved.
    """
    settings = request.settings
    folder = unfinished(request)
    if folder is not None and folder.is_complete:
        with logging_to(folder.run_log):
            log.info("finished already: %s", folder.path / "table")
        return
    runs = [(index, seed) for index in architectures(settings) for seed in settings.seeds]
    names = [f"{index}_seed{seed}" for index, seed in runs]
    dataset = _checked(settings, runs[0][0])
    device = device_name(device_of(settings.trainer.accelerator))
    folder = folder or create(request, [*names, "table"], device)

    def train_one(name: str, index: int, seed: int) -> None:
        which = f"network {names.index(name) + 1} of {len(names)}"
        log.info("%s: architecture %d, %s, seed %d", which, index, string_at(index), seed)
        _train_one(request, folder, name, index, seed)
        result = _result(RunFolder(folder.path / "networks" / name), settings, dataset, index, seed)
        log.info("%s: %s", which, _in_words(result))

    def write_tables() -> None:
        for table in collect(folder.path):
            log.info("table: %s", table)

    with at_work(folder, request):
        for name, (index, seed) in zip(names, runs, strict=True):
            do_stage(folder, name, partial(train_one, name, index, seed))
        do_stage(folder, "table", write_tables)


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


def _checked(settings: BenchmarkTrainingSettings, index: int) -> str:
    """The data set's name, once it is known that the table has a place for it and that its images can be trained on."""
    splits = load_splits(settings)
    check_layout(settings.layout, splits.name, (), ())
    rehearse(settings, splits, settings.stages, Nasbench201Space().genotype(index))
    return splits.name


def _train_one(
    request: Request[BenchmarkTrainingSettings], folder: RunFolder, name: str, index: int, seed: int
) -> None:
    """The retrain and evaluate stages of one network, in a run folder of its own."""
    outer = request.settings
    plain = {field.name: getattr(outer, field.name) for field in fields(Settings)}
    settings = replace(Settings(**plain), start_from=string_at(index), seed=seed, name=name)
    values = {"seed": seed, "name": name, "from": f"'{string_at(index)}'"}
    text = request.config_text
    for key, value in values.items():
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE)
    run(
        Request(
            kind="retrain",
            settings=settings,
            config_text=text,
            overrides=_data_overrides(request.overrides),
            config_folders=request.config_folders,
            folder=folder.path / "networks" / name,
            fingerprint=fingerprint_of(settings),
            in_sweep=False,
            resume_command=request.resume_command,
            choices=request.choices,
        )
    )


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


def _in_words(result: dict[str, Any]) -> str:
    parts = [f"clean {100 * result['clean']:.2f} %"]
    for name, pairs in result["attacks"].items():
        parts += [f"{name} {255 * eps:g}/255 {100 * accuracy:.2f} %" for eps, accuracy in pairs]
    if result["corruptions"]:
        every = [accuracy for found in result["corruptions"].values() for accuracy in found]
        parts.append(f"corrupted, mean {100 * sum(every) / len(every):.2f} %")
    return ", ".join(parts)
