"""Checks of operation weights against the shapes that a space expects."""

from __future__ import annotations

from collections.abc import Mapping

from dsrna.errors import ConfigError, NonFiniteError
from dsrna.types import OperationWeights


def check_operation_weights(weights: OperationWeights, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Refuses operation weights of another space or size. Looks at shapes alone, so it costs nothing.

    Args:
        weights: cell type -> weights.
        shapes: cell type -> expected (E, O).

    Raises:
        ConfigError: cell types or shapes differ.
    """
    if set(weights) != set(shapes):
        raise ConfigError(
            f"Expected operation weights for the cell types {', '.join(shapes)}, got {', '.join(weights) or 'none'}; "
            "build them from the same search space as the network."
        )
    for cell_type, shape in shapes.items():
        operations, edges = weights[cell_type]
        if tuple(operations.shape) != shape:
            raise ConfigError(
                f"Expected operation weights of shape {shape} (edges, operations) for cell type {cell_type}, "
                f"got {tuple(operations.shape)}; build them from the same search space as the network."
            )
        if edges is not None and tuple(edges.shape) != shape[:1]:
            raise ConfigError(
                f"Expected edge weights of shape {shape[:1]} for cell type {cell_type}, got {tuple(edges.shape)}."
            )


def check_not_negative(weights: OperationWeights) -> None:
    """Refuses weights below zero. Looks at every value; NaN is none below zero.

    Raises:
        ConfigError: a weight is negative: the alphas were not relaxed, or not into weights.
    """
    for cell_type, cell in weights.items():
        for values in (cell.operations, cell.edges):
            if values is not None and bool((values < 0).any()):
                raise ConfigError(
                    f"Expected operation and edge weights >= 0, got {float(values.min()):.4g} for cell type "
                    f"{cell_type}: give the weights after relaxation (a strategy's `forward`), not the alphas."
                )


def check_relaxed(weights: OperationWeights) -> None:
    """Refuses weights from which no genotype follows. Looks at every value.

    Raises:
        NonFiniteError: a weight is NaN or infinite.
        ConfigError: a weight is negative.
    """
    for cell_type, cell in weights.items():
        for values in (cell.operations, cell.edges):
            if values is not None and not bool(values.isfinite().all()):
                raise NonFiniteError(
                    f"Expected finite operation and edge weights to derive a genotype from, got NaN or inf for cell "
                    f"type {cell_type}."
                )
    check_not_negative(weights)
