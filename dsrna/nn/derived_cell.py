"""A cell of a derived network: a few edges, one operation on each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dsrna.nn.cell_inputs import cell_inputs
from dsrna.nn.cell_shape import CellShape
from dsrna.nn.cell_topology import CellTopology
from dsrna.nn.drop_path import DropPath
from dsrna.nn.operations import OPERATIONS, Zero, supernet_operation


class DerivedCell(nn.Module):
    """x_j = sum over the node's (operation o, input i) of drop_path(o(x_i)); the output concatenates some nodes.

    A skip connection of stride 1 is never dropped, as in DARTS's released code; drop-path isn't in NAS-Bench-201.

    Args:
        topology: its inputs and strides.
        shape: channels and strides.
        nodes: for each node after the inputs, its (operation name, input index) pairs.
        concat: indices of the nodes that are concatenated.
        as_in_supernet: build every layer in its supernet form (no BatchNorm scale and shift, BatchNorm after pooling),
            so that it can take over a supernet's weights.

    Attributes:
        operations: the operations, node after node, in the order of ``nodes``.
    """

    def __init__(
        self,
        topology: CellTopology,
        shape: CellShape,
        nodes: Sequence[Sequence[tuple[str, int]]],
        concat: Sequence[int],
        as_in_supernet: bool = False,
    ) -> None:
        super().__init__()
        self.inputs = cell_inputs(shape, topology.inputs, affine=not as_in_supernet)
        self.sources = tuple(tuple(source for _, source in node) for node in nodes)
        self.concat = tuple(concat)
        self.drop_path = DropPath()
        placed = [(name, topology.stride(source, shape.reduction)) for node in nodes for name, source in node]
        self.operations = nn.ModuleList(
            supernet_operation(name, shape.channels, stride)
            if as_in_supernet
            else OPERATIONS[name](shape.channels, shape.channels, stride, True)
            for name, stride in placed
        )

    def forward(self, *outputs: Tensor) -> Tensor:
        """Maps the outputs of the cells before to (N, len(concat) * channels, H', W')."""
        nodes = list(outputs) if self.inputs is None else self.inputs(*outputs)
        operations = iter(self.operations)
        for sources in self.sources:
            terms = [self._path(next(operations), nodes[source]) for source in sources]
            nodes.append(sum(terms[1:], start=terms[0]))
        return joined(nodes, self.concat)

    def _path(self, operation: nn.Module, x: Tensor) -> Tensor:
        output = operation(x)
        return output if isinstance(operation, nn.Identity | Zero) else self.drop_path(output)


def joined(nodes: Sequence[Tensor], concat: Sequence[int]) -> Tensor:
    """Some of a cell's nodes as one map."""
    return nodes[concat[0]] if len(concat) == 1 else torch.cat([nodes[index] for index in concat], dim=1)
