"""The same table for finished run folders, whoever made them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from dsrna.comparing.architectures import Architecture, FixedNetwork, digest_of
from dsrna.comparing.evaluated import network_cost, network_stage, trained_network
from dsrna.comparing.results import CellCost, Found, Results, RowResults, Trained
from dsrna.config.parts import nearest
from dsrna.errors import CheckpointError, ConfigError
from dsrna.report.index import run_folders
from dsrna.report.run_data import RunData
from dsrna.report.sweep import SweepRow, sweep_table
from dsrna.report.sweep_means import equal_but_for_seeds, settings_of
from dsrna.run_folder import RunFolder
from dsrna.training.fit import device_name, device_of
from dsrna.training.trained_network import NetworkDescription, load_network

T = TypeVar("T")


def results_of(folders: Sequence[Path], reference: str | None = None) -> Results:
    """What finished runs found; those that are equal but for their seeds are one row.

    Args:
        folders: run folders, or folders in which they lie.
        reference: the row that others are compared with; None: the first one.

    Raises:
        CheckpointError: there are no evaluated runs, or a file is damaged.
        ConfigError: they were evaluated in different threat models, or on different data.
    """
    for folder in folders:
        if not folder.is_dir():
            raise CheckpointError(f"Expected a run folder, or a folder with some, got {folder}, which is none.")
    runs = [run for folder in folders for run in ([folder] if (folder / "run.json").exists() else run_folders(folder))]
    by_place = {run.resolve(): run for run in runs}  # each once
    opened = {run: RunFolder.open(run) for run in by_place.values()}
    evaluated = [run for run, folder in opened.items() if folder.read_evaluation() is not None]
    if not evaluated:
        raise CheckpointError(f"Expected evaluated runs in {', '.join(map(str, folders))}, found none.")
    rows = sweep_table(evaluated)
    place_of = dict(zip(map(id, rows), evaluated, strict=True))
    groups = equal_but_for_seeds(rows)
    names = _names([[place_of[id(row)] for row in group] for group in groups], groups)
    found, trained, costs = [], [], {}
    for number, (name, group) in enumerate(zip(names, groups, strict=True)):
        cells = []
        for row in group:
            one, cost, seconds = _read(opened[place_of[id(row)]], number)
            trained.append(one)
            costs[one.cell] = cost
            cells.append(Found(one.seed, one.cell, seconds))
        found.append(RowResults(name, "run", _about(group[0], len(group)), cells))
    if reference is not None and reference not in names:
        raise ConfigError(f"Unknown row `{reference}`.{nearest(reference, names)} There are: {', '.join(names)}.")
    evaluations = [opened[run].read_evaluation() or {} for run in evaluated]
    return Results(
        name="finished runs",
        data=_same([one["data"] for one in evaluations], "data"),
        threat=_same([one["threat"] for one in evaluations], "threat models"),
        rehearsal=any(opened[run].is_rehearsal for run in evaluated),
        recipe="",
        rows=found,
        seeds=sorted({one.seed for one in trained}),
        reference=reference or names[0],
        costs=costs,
        trained=trained,
    )


def _read(folder: RunFolder, group: int) -> tuple[Trained, CellCost, float | None]:
    """A run's network, what it costs, and the seconds of its search.

    The cell's name has the group's number: groups may have trained one cell in several ways.
    """
    evaluation, run = folder.read_evaluation() or {}, folder.read_run()
    stage, stages = network_stage(evaluation), run["stages"]
    network, description, _ = load_network(folder.best_checkpoint(stage))
    architecture: Architecture
    if isinstance(description, NetworkDescription):
        architecture = description.read_genotype()
    else:
        architecture = FixedNetwork(description.model, json.dumps(description.arguments, sort_keys=True, default=str))
    cell = f"{digest_of(architecture)}.{group}"
    seed = RunData.read(folder).setting("seed")
    device = device_of("auto")
    one = trained_network(folder, cell, int(seed or 0), stages.get(stage, {}).get("seconds"), str(folder.path))
    cost = network_cost(network, description.shape, None, device, device_name(device))
    return one, cost, stages.get("search", {}).get("seconds")


def _names(places: Sequence[Sequence[Path]], groups: Sequence[Sequence[SweepRow]]) -> list[str]:
    """A name a group: that of its runs, with what tells groups of one name apart."""
    plain = [RunData.read(RunFolder(of[0])).setting("name") or of[0].name for of in places]
    told = [
        name
        if plain.count(name) == 1
        else " ".join([name, *(f"{key}={value}" for key, value in settings_of(group[0]).items())])
        for name, group in zip(plain, groups, strict=True)
    ]
    many, seen = Counter(told), Counter[str]()
    for place, name in enumerate(told):
        if many[name] > 1:
            seen[name] += 1
            told[place] = f"{name} ({seen[name]})"
    return told


def _about(row: SweepRow, count: int) -> str:
    settings = " ".join(f"{key}={value}" for key, value in settings_of(row).items())
    return f"{count} run{'s' if count > 1 else ''}{': ' if settings else ''}{settings}"


def _same(values: Sequence[T], what: str) -> T:
    different = [value for place, value in enumerate(values) if value not in values[:place]]
    if len(different) > 1:
        raise ConfigError(
            f"Expected runs with the same {what}, got {len(different)}: {'; '.join(map(str, different))}. Compare "
            "those that are evaluated alike, or evaluate them again: python -m dsrna.evaluate from=RUN_FOLDER …"
        )
    return different[0]
