"""A cell of a supernet: a mixed operation on every edge."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dsrna.nn.mixed_edges import MixedEdges
from dsrna.spaces.nasbench201.topology import EDGES
from dsrna.types import CellWeights


class SupernetCell(nn.Module):
    """x_j = sum_{i<j} b_(i,j) mixed_(i,j)(x_i) for j = 1, 2, 3; x_0 is the input, x_3 the output.

    b is 1 where no edge weights are given.

    Args:
        channels: C, channels in and out.
        primitives: names of operations, in the order of the weights.
        partial_channels: see :class:`~dsrna.nn.mixed_operation.MixedOperation`.

    Attributes:
        edges: one MixedOperation an edge.
    """

    def __init__(self, channels: int, primitives: Sequence[str], partial_channels: int = 1) -> None:
        super().__init__()
        self.edges = MixedEdges(EDGES, primitives, channels, lambda source: 1, partial_channels)

    def forward(self, x: Tensor, weights: CellWeights) -> Tensor:
        """Maps (N, C, H, W) to (N, C, H, W) under operation weights (6, O) and edge weights (6,) or None."""
        return self.edges([x], weights)[-1]
