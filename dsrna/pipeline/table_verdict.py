"""The published tables as judge: what they say of the derived architecture, without training it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.robustness_dataset import RobustnessDataset
from dsrna.benchmarks.tabular_benchmark import TabularBenchmark
from dsrna.benchmarks.verdict import Verdict, verdict
from dsrna.data.source import root_folder
from dsrna.errors import DataError
from dsrna.files import write_json
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype

log = logging.getLogger("dsrna")

SCHEMA = "dsrna.verdict"
VERSION = 1
SPACE = "nasbench201"
_ROBUSTNESS_FOLDER = "robustness-data"


def judge(folder: RunFolder, data_root: str | None, data_target: str) -> None:
    """Writes ``verdict.json``: the derived architecture's published accuracies, ranks and regrets.

    Only architectures of NAS-Bench-201 have any. A table that is missing or damaged is named in the log and left out:
    the search itself has succeeded.

    Args:
        folder: a run folder with ``genotype.json``.
        data_root: the folder of the data, where the tables are looked for too; None means $DSRNA_DATA, else ./data.
        data_target: what loads the data; for data that the tables don't cover, they are asked about CIFAR-10.
    """
    genotype = genotype_codec.load(folder.genotype_json)
    if genotype.space != SPACE:
        return
    root = root_folder(data_root)
    dataset = "cifar100" if data_target.endswith("cifar100") else "cifar10"
    openers: list[Callable[[], TabularBenchmark]] = [
        lambda: NasRobBench201(root),
        lambda: RobustnessDataset(root / _ROBUSTNESS_FOLDER),
    ]
    found, missing = [], []
    for opener in openers:
        try:
            found += _of_table(genotype, opener(), dataset, root)
        except DataError as error:
            missing.append(str(error))
    if missing:
        log.info("No published accuracies from some tables. %s", " ".join(missing))
    if found:
        rows = [asdict(entry) | {"label": entry.label, "regret": entry.regret} for entry in found]
        write_json(folder.verdict_json, {"schema": SCHEMA, "version": VERSION, "dataset": dataset, "rows": rows})


def _of_table(genotype: Genotype, table: TabularBenchmark, dataset: str, root: Path) -> list[Verdict]:
    if dataset not in table.datasets:
        raise DataError(f"{table.title} has no {dataset} in {root}; get it from {table.origin}.")
    return verdict(genotype, table, dataset)
