"""A cell of a derived network: one operation on every edge."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dsrna.nn.drop_path import DropPath
from dsrna.nn.operations import OPERATIONS, Zero, supernet_operation
from dsrna.spaces.nasbench201.topology import EDGES


class DerivedCell(nn.Module):
    """x_j = sum_{i<j} drop_path(o_(i,j)(x_i)) for j = 1, 2, 3; x_0 is the input, x_3 the output.

    Skip connections and zeros are never dropped.

    Args:
        channels: C, channels in and out.
        operations: six names, in the order of :data:`~dsrna.spaces.nasbench201.topology.EDGES`.
        as_in_supernet: build every operation in its supernet form, so that it can take over a supernet's weights.

    Attributes:
        operations: the operations as modules, in the same order.

    Source: Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2.1; drop-path isn't in the benchmark.
    """

    def __init__(self, channels: int, operations: Sequence[str], as_in_supernet: bool = False) -> None:
        super().__init__()
        self.drop_path = DropPath()
        self.operations = nn.ModuleList(
            supernet_operation(name, channels, 1) if as_in_supernet else OPERATIONS[name](channels, channels, 1, True)
            for name in operations
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C, H, W)."""
        nodes = [x]
        for (source, target), operation in zip(EDGES, self.operations, strict=True):
            output = operation(nodes[source])
            if not isinstance(operation, nn.Identity | Zero):
                output = self.drop_path(output)
            if target == len(nodes):
                nodes.append(output)
            else:
                nodes[target] = nodes[target] + output
        return nodes[-1]
