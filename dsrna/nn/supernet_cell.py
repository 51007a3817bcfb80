"""A cell of a supernet: every edge is there, and every operation on it."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.nn.cell_inputs import cell_inputs
from dsrna.nn.cell_shape import CellShape
from dsrna.nn.cell_topology import CellTopology
from dsrna.nn.derived_cell import joined
from dsrna.nn.edges.mixed_edges import MixedEdges
from dsrna.types import CellWeights


class SupernetCell(nn.Module):
    """x_j = sum_{(i,j)} b_(i,j) mixed_(i,j)(x_i) for each node j that edges enter; the output is as the topology says.

    b is 1 where no edge weights are given.

    Args:
        topology: nodes, edges, operations and output.
        shape: channels and strides.
        partial_channels: see :class:`~dsrna.nn.edges.mixed_operation.MixedOperation`.

    Attributes:
        inputs: brings the outputs of the cells before to the cell's channels; None where they are taken as they are.
        edges: one MixedOperation an edge, in the topology's order.

    Source: DARTS (ICLR 2019), eq. 1 and section 2.1; edge weights: PC-DARTS (ICLR 2020), eq. 2.
    """

    def __init__(self, topology: CellTopology, shape: CellShape, partial_channels: int = 1) -> None:
        super().__init__()
        self.topology = topology
        self.inputs = cell_inputs(shape, topology.inputs, affine=False)
        self.edges = MixedEdges(
            topology.ends,
            topology.primitives,
            shape.channels,
            lambda source: topology.stride(source, shape.reduction),
            partial_channels,
            topology.operations,
        )

    def forward(self, *outputs: Tensor, weights: CellWeights) -> Tensor:
        """Maps the outputs of the cells before to (N, nodes in the output * channels, H', W').

        Args:
            outputs: of the last one or two cells, the previous one last: (N, its channels, H, W); the other one has
                twice that size after a reduction.
            weights: operation weights (E, O) and edge weights (E,) or None.
        """
        nodes = list(outputs) if self.inputs is None else self.inputs(*outputs)
        return joined(self.edges(nodes, weights), self.topology.outputs)
