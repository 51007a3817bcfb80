"""The architecture on which several searches agree."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.types import CellWeights, OperationWeights


def consensus(several: Sequence[OperationWeights]) -> OperationWeights:
    """The mean of the operation weights, and of the edge weights, of several searches.

    What a search decides early and by chance, such as a skip connection on one edge, is outvoted by the others, while
    an operation that all of them weigh a little more stays ahead: the mean of k searches has a k-th of the variance.

    Args:
        several: one entry a search of one space: cell type -> operation weights (E, O) >= 0, and edge weights (E,) >= 0
            or None, which stands for 1 on every edge.

    Returns:
        The means, in float64; edge weights None where no search has any.

    Raises:
        ConfigError: there is none, or they aren't of one space.

    Our own; that independent searches of one space disagree by chance, and by how much, is what
    :mod:`dsrna.report.agreement` measures.
    """
    if not several:
        raise ConfigError("Expected the operation weights of at least one search, got none.")
    shapes = [{name: tuple(cell.operations.shape) for name, cell in weights.items()} for weights in several]
    if any(shape != shapes[0] for shape in shapes):
        raise ConfigError("Expected searches of one space: their cells differ in edges or operations.")
    return {name: _mean([weights[name] for weights in several]) for name in several[0]}


def _mean(cells: Sequence[CellWeights]) -> CellWeights:
    edges = None
    if any(cell.edges is not None for cell in cells):
        edges = _mean_of([torch.ones(len(c.operations)) if c.edges is None else c.edges for c in cells])
    return CellWeights(_mean_of([cell.operations for cell in cells]), edges)


def _mean_of(values: Sequence[Tensor]) -> Tensor:
    return torch.stack([value.detach().double().cpu() for value in values]).mean(dim=0)
