"""What the published tables say of the derived architecture, without training it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from dsrna.benchmarks.marks import pair_labels, pair_with_marks
from dsrna.benchmarks.published import open_tables_there
from dsrna.benchmarks.verdict import Verdict, verdict
from dsrna.config.parts import target_of
from dsrna.config.settings import DataSettings
from dsrna.data.folders import load_imagenet
from dsrna.data.torchvision_sets import load_cifar10, load_cifar100
from dsrna.errors import DsrnaError
from dsrna.files import write_json
from dsrna.report.published import headline_rows, pair_rows
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import tables_folder
from dsrna.spaces import genotype_codec
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space

log = logging.getLogger("dsrna")

SCHEMA = "dsrna.verdict"
VERSION = 1

_DATASETS: dict[Any, str] = {load_cifar10: "cifar10", load_cifar100: "cifar100", load_imagenet: "imagenet16_120"}
_STAND_IN = "cifar10"


def write_verdict(folder: RunFolder, data: DataSettings) -> bool:
    """Writes ``verdict.json``: the derived architecture's published accuracies, ranks and regrets.

    Only architectures of NAS-Bench-201 have any. A table that is missing or damaged is named in the log and left out:
    the search itself has succeeded.

    Args:
        folder: a run folder, with ``genotype.json`` once its search is done.
        data: what was searched on; the tables are looked for in the same root. For data that they don't cover they
            are asked about CIFAR-10, and the verdict says so.

    Returns:
        Whether the folder's verdict is new, or says more than the one it had.
    """
    if not folder.genotype_json.exists():
        return False
    genotype = genotype_codec.load(folder.genotype_json)
    space = Nasbench201Space()
    if genotype.space != space.name:
        return False
    loader = target_of(data.source, "data.source")
    dataset = _DATASETS.get(loader, _STAND_IN)
    root, _ = tables_folder(None, data.root)
    tables, problems = open_tables_there(root, dataset)
    found: list[Verdict] = []
    for table in tables:
        try:
            found += verdict(genotype, table, dataset)
        except (DsrnaError, OSError) as error:  # the robustness dataset's files are read only now
            problems.append(str(error))
    if problems:
        log.info("Not all published accuracies are here. %s Then `resume=auto` adds them.", " ".join(problems))
    known = folder.read_verdict() or {"rows": []}
    if len(found) < len(known["rows"]) or not found or (len(found) == len(known["rows"]) and "pair" in known):
        return False
    index = space.index(genotype)
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "searched_on": _name_of(loader),
        "dataset": dataset,
        "index": index,
        "architecture": string_at(index),
        "left_out": problems,
        "pair": {"labels": pair_labels(), "marks": [asdict(mark) for mark in pair_with_marks(index, tables, dataset)]},
        "rows": [asdict(row) | {"label": row.label, "regret": row.regret} for row in found],
    }
    write_json(folder.verdict_json, document)
    for line in _headlines(document):
        log.info("%s", line)
    return True


def _name_of(loader: Callable[..., Any]) -> str:
    """What a loader loads, e.g. ``cifar10``; a user's own that is called like one of ours has its module before it."""
    name = loader.__name__.removeprefix("load_")
    is_another = name in _DATASETS.values() and loader not in _DATASETS
    return f"{loader.__module__}.{loader.__name__}" if is_another else name


def _headlines(document: dict[str, Any]) -> list[str]:
    return [
        f"published on {document['dataset']} after {row['training']}: {row['label']} {100 * row['accuracy']:.2f} %, "
        f"rank {row['rank']} of {row['classes']}, regret {100 * row['regret']:.2f} %"
        for row in headline_rows(document)
    ] + [f"{name}: {'; '.join(values)}" for name, values in pair_rows(document)]
