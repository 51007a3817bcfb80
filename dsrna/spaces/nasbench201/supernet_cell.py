"""A cell of a supernet: a mixed operation on every edge."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dsrna.nn.mixed_operation import MixedOperation
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
        self.edges = nn.ModuleList(MixedOperation(primitives, channels, 1, partial_channels) for _ in EDGES)

    def forward(self, x: Tensor, weights: CellWeights) -> Tensor:
        """Maps (N, C, H, W) to (N, C, H, W) under operation weights (6, O) and edge weights (6,) or None."""
        nodes = [x]
        for index, ((source, target), edge) in enumerate(zip(EDGES, self.edges, strict=True)):
            output = edge(nodes[source], weights.operations[index])
            if weights.edges is not None:
                output = weights.edges[index] * output
            if target == len(nodes):
                nodes.append(output)
            else:
                nodes[target] = nodes[target] + output
        return nodes[-1]
