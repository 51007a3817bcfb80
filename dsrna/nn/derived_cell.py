"""A cell of a derived network: a few edges, one operation on each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dsrna.nn.cell_inputs import CellInputs
from dsrna.nn.cell_shape import CellShape
from dsrna.nn.drop_path import DropPath
from dsrna.nn.operations import OPERATIONS, supernet_operation


class DerivedCell(nn.Module):
    """x_j = sum over the node's (operation o, input i) of drop_path(o(x_i)); the output concatenates some nodes.

    A skip connection of stride 1 is never dropped, as in DARTS's released code.

    Args:
        shape: channels and strides.
        nodes: for each intermediate node, its (operation name, input index) pairs; indices 0 and 1 are the cell's
            inputs, 2, 3, … the intermediate nodes.
        concat: indices of the nodes that are concatenated, >= 2.
        as_in_supernet: build every layer in its supernet form (no BatchNorm scale and shift, BatchNorm after pooling),
            so that it can take over a supernet's weights.

    Attributes:
        operations: the operations, node after node, in the order of ``nodes``.
    """

    def __init__(
        self,
        shape: CellShape,
        nodes: Sequence[Sequence[tuple[str, int]]],
        concat: Sequence[int],
        as_in_supernet: bool = False,
    ) -> None:
        super().__init__()
        self.inputs = CellInputs(shape, affine=not as_in_supernet)
        self.sources = tuple(tuple(source for _, source in node) for node in nodes)
        self.concat = tuple(concat)
        self.drop_path = DropPath()
        self.operations = nn.ModuleList(
            supernet_operation(name, shape.channels, shape.stride(source))
            if as_in_supernet
            else OPERATIONS[name](shape.channels, shape.channels, shape.stride(source), True)
            for node in nodes
            for name, source in node
        )

    def forward(self, before_previous: Tensor, previous: Tensor) -> Tensor:
        """Maps the outputs of the two cells before to (N, len(concat) * channels, H', W')."""
        nodes = self.inputs(before_previous, previous)
        operations = iter(self.operations)
        for sources in self.sources:
            terms = [self._path(next(operations), nodes[source]) for source in sources]
            nodes.append(sum(terms[1:], start=terms[0]))
        return torch.cat([nodes[index] for index in self.concat], dim=1)

    def _path(self, operation: nn.Module, x: Tensor) -> Tensor:
        return x if isinstance(operation, nn.Identity) else self.drop_path(operation(x))
