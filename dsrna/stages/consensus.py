"""One architecture from several finished searches: what the mean of their operation weights stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dsrna.benchmarks.published import open_tables_there
from dsrna.benchmarks.verdict import verdict
from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_json
from dsrna.json_files import read_json
from dsrna.report import sweep_table
from dsrna.report.results import hundredths
from dsrna.report.run_data import RunData
from dsrna.report.sweep_means import equal_but_for_seeds, settings_of
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import tables_folder
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.registry import space_of
from dsrna.strategies.consensus import consensus
from dsrna.types import CellWeights, OperationWeights

FEWEST = 2
DATASET = "cifar10"


def searches_in(places: Sequence[Path]) -> list[RunFolder]:
    """The finished searches among run folders, and in folders of run folders, such as that of a multirun.

    Raises:
        CheckpointError: a place holds none, one isn't finished, or there are fewer than two in all.
    """
    found = []
    for place in places:
        folders = [place] if (place / "run.json").exists() else sorted(file.parent for file in place.glob("*/run.json"))
        searches = [folder for folder in map(RunFolder.open, folders) if folder.architecture_json.exists()]
        if not searches:
            raise CheckpointError(f"Expected finished searches in {place}, found none: give their run folders.")
        for folder in searches:
            if not folder.genotype_json.exists():
                raise CheckpointError(f"The search in {folder.path} isn't finished: run it again with resume=auto.")
        found += searches
    if len(found) < FEWEST:
        raise CheckpointError(f"Expected at least {FEWEST} searches, got {len(found)}.")
    return found


def agreed_genotype(searches: Sequence[RunFolder]) -> Genotype:
    """What the mean of the searches' last operation weights stands for, see :func:`dsrna.strategies.consensus`.

    Raises:
        ConfigError: they aren't of one space, or of one whose operations a genotype file doesn't name.
    """
    documents = [read_json(folder.architecture_json) for folder in searches]
    first = documents[0]
    for folder, document in zip(searches, documents, strict=True):
        if any(document[key] != first[key] for key in ("space", "primitives", "cells")):
            raise ConfigError(f"Expected searches of one space, got another one in {folder.path}.")
    space = space_of(genotype_codec.load(searches[0].genotype_json))
    if list(space.primitives) != first["primitives"]:
        raise ConfigError(f"Expected the usual operations of {space.name}, got {', '.join(first['primitives'])}.")
    return space.derive(consensus([_weights(document["epochs"][-1]["weights"]) for document in documents]))


def write_consensus(searches: Sequence[RunFolder], file: Path) -> Genotype:
    """Writes the agreed genotype as a genotype file, which ``from=`` takes, with the names of the searches in it."""
    genotype = agreed_genotype(searches)
    names = [folder.path.resolve().name for folder in searches]
    write_json(file, genotype_codec.to_json(genotype) | {"consensus_of": names})
    return genotype


def published_lines(genotype: Genotype, tables: Path) -> list[str]:
    """What the published tables in a folder say of a genotype on CIFAR-10; nothing where they can't say anything."""
    if genotype.space != Nasbench201Space.name:
        return []
    found, _ = open_tables_there(tables, DATASET)
    return [
        f"after {row.training}, {row.label}: {hundredths(row.accuracy)}, rank {row.rank:,} of {row.classes:,}, "
        f"regret {hundredths(row.regret)}"
        for table in found
        for row in verdict(genotype, table, DATASET)
        if row.headline
    ]


def sweep_consensus(folder: Path) -> list[str]:
    """Writes the consensus of the searches of a multirun that differ in their seeds alone: ``consensus.json``, or a
    numbered one for each group of jobs.

    Returns:
        What to tell the user: of each group its settings, its file, and what the published tables say.
    """
    rows = [row for row in sweep_table(sorted(file.parent for file in folder.glob("*/run.json"))) if row.cell]
    groups = [jobs for jobs in equal_but_for_seeds(rows) if len(jobs) >= FEWEST]
    lines = []
    for number, jobs in enumerate(groups, start=1):
        searches = [RunFolder.open(folder / job.job) for job in jobs]
        file = folder / (f"consensus_{number}.json" if len(groups) > 1 else "consensus.json")
        genotype = write_consensus(searches, file)
        settings = " ".join(f"{key}={value}" for key, value in settings_of(jobs[0]).items())
        root, _ = tables_folder(None, RunData.read(searches[0]).setting("data", "root"))
        lines += [
            f"consensus of {len(jobs)} seeds{settings and f', {settings}'}: {file}",
            *published_lines(genotype, root),
        ]
    return lines


def _weights(plain: dict[str, dict[str, list[float] | None]]) -> OperationWeights:
    """The operation weights of an epoch of ``search/architecture.json``."""
    return {
        name: CellWeights(
            torch.tensor(cell["operations"], dtype=torch.float64),
            None if cell["edges"] is None else torch.tensor(cell["edges"], dtype=torch.float64),
        )
        for name, cell in plain.items()
    }
