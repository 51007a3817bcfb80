"""What a ranking's run folder holds, for its report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsrna import query_documents
from dsrna.json_files import read_document
from dsrna.run_folder import RunFolder

Coefficients = dict[str, np.ndarray]
"""``value``, ``low``, ``high`` -> (proxies, columns); NaN where there is none."""


@dataclass(frozen=True)
class Group:
    """The columns of one table: its title, how its networks were trained, positions of the columns."""

    benchmark: str
    training: str
    positions: list[int]


@dataclass(frozen=True)
class RankingData:
    """A finished ranking.

    Attributes:
        folder: where it lies.
        run: ``run.json``.
        dataset: of the tables.
        proxies: names.
        labels: of the columns.
        groups: the columns by table.
        scores: (proxies, architectures).
        accuracies: (columns, architectures).
        spearman, kendall: see :data:`Coefficients`.
    """

    folder: RunFolder
    run: dict[str, Any]
    dataset: str
    proxies: list[str]
    labels: list[str]
    groups: list[Group]
    scores: np.ndarray
    accuracies: np.ndarray
    spearman: Coefficients
    kendall: Coefficients

    @classmethod
    def read(cls, path: Path) -> RankingData:
        """Reads a run folder.

        Raises:
            CheckpointError: it isn't the folder of a finished ranking, or a file in it is damaged.
        """
        folder = RunFolder.open(path)
        document = read_document(folder.ranking_json, "dsrna.ranking", 1, query_documents.Ranking)
        records = folder.read_scores()
        groups: dict[str, Group] = {}
        for position, column in enumerate(document["columns"]):
            title = column["benchmark"]
            groups.setdefault(title, Group(title, column["training"], [])).positions.append(position)
        return cls(
            folder=folder,
            run=folder.read_run(),
            dataset=document["dataset"],
            proxies=document["proxies"],
            labels=[column["label"] for column in document["columns"]],
            groups=list(groups.values()),
            scores=np.array([[record["scores"][name] for record in records] for name in document["proxies"]]),
            accuracies=np.array([column["values"] for column in document["columns"]]),
            spearman=_coefficients(document["spearman"]),
            kendall=_coefficients(document["kendall"]),
        )

    def position(self, group: Group, *wanted: str) -> int:
        """The column of a table with the first of some labels that it has; the last column where it has none."""
        labels = {self.labels[position]: position for position in group.positions}
        return next((labels[label] for label in wanted if label in labels), group.positions[-1])


def _coefficients(rows: list[list[dict[str, float | None]]]) -> Coefficients:
    return {
        key: np.array([[math.nan if entry[key] is None else entry[key] for entry in row] for row in rows], dtype=float)
        for key in ("value", "low", "high")
    }
