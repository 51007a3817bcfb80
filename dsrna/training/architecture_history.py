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

    def latest_weights(self) -> dict[str, float]:
        """The last entry's weights one by one, named e.g. ``operation_weights/normal/0-2 sep_conv_3x3``.

        Edge weights, where there are any, are named ``edge_weights/normal/0-2``.
        """
        numbers: dict[str, float] = {}
        for cell_type, weights in self.epochs[-1]["weights"].items():
            edges = [f"{source}-{target}" for source, target in self._space.edges(cell_type)]
            for edge, row in zip(edges, weights["operations"], strict=True):
                for primitive, weight in zip(self._space.primitives, row, strict=True):
                    numbers[f"operation_weights/{cell_type}/{edge} {primitive}"] = weight
            if weights["edges"] is not None:
                numbers |= {
                    f"edge_weights/{cell_type}/{edge}": weight
                    for edge, weight in zip(edges, weights["edges"], strict=True)
                }
        return numbers

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
