"""How the architecture moved: per epoch the operation weights, their entropy, and what would be derived."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from dsrna.spaces.genotype import Genotype
from dsrna.spaces.genotype_codec import to_json
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.entropy import operation_entropy
from dsrna.strategies.operation_counts import operation_counts, skip_connection_warning
from dsrna.types import OperationWeights

log = logging.getLogger("dsrna")


class ArchitectureHistory:
    """One entry an epoch, of plain types.

    Args:
        space: the search space, for deriving and for the names of edges and operations.

    Attributes:
        epochs: the entries so far.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self.epochs: list[dict[str, Any]] = []

    def add(self, epoch: int, weights: OperationWeights, events: Sequence[str] = ()) -> dict[str, float]:
        """Adds an epoch, with what search schedules did in it; warns of skip-connection collapse.

        Returns:
            The numbers to log: entropy (nats, mean over edges) and number of skip connections per cell type.
        """
        genotype = self._space.derive(weights)
        counts = operation_counts(genotype)
        entropy = {name: float(operation_entropy(cell.operations.detach())) for name, cell in weights.items()}
        self.epochs.append(
            {
                "epoch": epoch,
                "weights": {
                    name: {
                        "operations": _plain(cell.operations),
                        "edges": None if cell.edges is None else _plain(cell.edges),
                    }
                    for name, cell in weights.items()
                },
                "entropy": entropy,
                "genotype": to_json(genotype),
                "operation_counts": counts,
                **({"events": list(events)} if events else {}),
            }
        )
        if (warning := skip_connection_warning(genotype)) is not None:
            log.warning("epoch %d: %s", epoch + 1, warning)
        numbers = {f"arch/entropy_{name}": value for name, value in entropy.items()}
        return numbers | {f"arch/skip_{name}": float(count.get("skip_connect", 0)) for name, count in counts.items()}

    def table(self) -> list[dict[str, Any]]:
        """A row an edge and epoch: its operations' weights, and its own where there are edge weights, else None."""
        rows = []
        for entry in self.epochs:
            for cell_type, weights in entry["weights"].items():
                edge_weights = weights["edges"] or [None] * len(weights["operations"])
                edges = self._space.edges(cell_type)
                for (source, target), row, of_edge in zip(edges, weights["operations"], edge_weights, strict=True):
                    about = {"epoch": entry["epoch"], "cell": cell_type, "edge": f"{source}-{target}"}
                    rows.append(about | dict(zip(self._space.primitives, row, strict=True)) | {"edge_weight": of_edge})
        return rows

    def genotype(self, weights: OperationWeights) -> Genotype:
        """What is derived from ``weights``."""
        return self._space.derive(weights)

    def to_json(self) -> dict[str, Any]:
        """The layout of ``search/architecture.json``."""
        return {
            "space": self._space.name,
            "primitives": list(self._space.primitives),
            "choices": list(self._space.choices),
            "cells": {
                name: {"edges": [list(edge) for edge in self._space.edges(name)]} for name in self._space.cell_types
            },
            "epochs": self.epochs,
        }


def _plain(values: Tensor) -> list[Any]:
    return values.detach().double().cpu().tolist()
