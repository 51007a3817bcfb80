"""The network of a search."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dsrna.nn.cell_topology import CellTopology
from dsrna.nn.supernet_cell import SupernetCell
from dsrna.spaces.cell_network import CellNetwork
from dsrna.spaces.operation_weights import check_operation_weights
from dsrna.spaces.skeletons.base import Skeleton
from dsrna.types import OperationWeights


class Supernet(CellNetwork):
    """A skeleton of cells with every operation on every edge; cells of a type share the weights, given from outside.

    As in every supernet of dsrna, operations have no BatchNorm scale and shift, and a pooling is followed by a
    BatchNorm; differs from NAS-Bench-201's released search code: its pooling isn't normalised.

    Args:
        skeleton: image shape, number, widths and places of cells.
        topologies: cell type -> the inside of its cells.
        partial_channels: K of PC-DARTS; 1 sends every channel through the operations.

    Attributes:
        topologies: as given. ``body[i].edges[e].operations[o]`` is one operation.
    """

    def __init__(self, skeleton: Skeleton, topologies: Mapping[str, CellTopology], partial_channels: int = 1) -> None:
        super().__init__(
            skeleton,
            lambda cell_type, shape: SupernetCell(topologies[cell_type], shape, partial_channels),
            {cell_type: len(topology.outputs) for cell_type, topology in topologies.items()},
        )
        self.topologies = dict(topologies)
        self.partial_channels = partial_channels
        self._weight_shapes = {name: (len(each.ends), len(each.primitives)) for name, each in topologies.items()}
        self._inputs = next(iter(topologies.values())).inputs

    def forward(self, x: Tensor, weights: OperationWeights) -> Tensor:
        """Returns logits (N, K) for x (N, C, H, W) in [0, 1].

        Args:
            x: images; normalisation is the network's first layer.
            weights: cell type -> operation weights (E, O) and edge weights (E,) or None. The logits are differentiable
                in them, also where a weight is zero.
        """
        check_operation_weights(weights, self._weight_shapes)
        return self.logits(self.features(x, self._inputs, weights)[-1])
