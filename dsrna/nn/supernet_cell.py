"""A cell of a supernet: every edge is there, and every operation on it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dsrna.nn.cell_inputs import CellInputs
from dsrna.nn.cell_shape import CellShape
from dsrna.nn.mixed_edges import MixedEdges
from dsrna.types import CellWeights


class SupernetCell(nn.Module):
    """x_j = sum_{i<j} b_(i,j) mixed_(i,j)(x_i) for each intermediate node j; the output is their concatenation.

    b is 1 where no edge weights are given.

    Args:
        shape: channels and strides.
        edges: (source, target) of each edge, grouped by ascending target; nodes 0 and 1 are the inputs, 2, 3, … the
            intermediate nodes.
        primitives: names of operations, in the order of the weights.
        partial_channels: see :class:`~dsrna.nn.mixed_operation.MixedOperation`.

    Attributes:
        edges: one MixedOperation an edge, in the order of the argument ``edges``.

    Source: DARTS (ICLR 2019), eq. 1 and section 2.1; edge weights: PC-DARTS (ICLR 2020), eq. 2.
    """

    def __init__(
        self,
        shape: CellShape,
        edges: Sequence[tuple[int, int]],
        primitives: Sequence[str],
        partial_channels: int = 1,
    ) -> None:
        super().__init__()
        self.inputs = CellInputs(shape, affine=False)
        self.edges = MixedEdges(edges, primitives, shape.channels, shape.stride, partial_channels)

    def forward(self, before_previous: Tensor, previous: Tensor, weights: CellWeights) -> Tensor:
        """Maps the outputs of the two cells before to (N, intermediate nodes * channels, H', W').

        Args:
            before_previous: (N, channels_before_previous, H, W), or twice that size after a reduction.
            previous: (N, channels_previous, H, W).
            weights: operation weights (E, O) and edge weights (E,) or None.
        """
        nodes = self.edges(self.inputs(before_previous, previous), weights)
        return torch.cat(nodes[2:], dim=1)
