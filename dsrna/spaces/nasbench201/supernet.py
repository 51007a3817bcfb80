"""The supernet of the NAS-Bench-201 space."""

from __future__ import annotations

from torch import Tensor

from dsrna.spaces.nasbench201.skeleton import Skeleton
from dsrna.spaces.nasbench201.supernet_cell import SupernetCell
from dsrna.spaces.nasbench201.topology import CELL_TYPE, EDGES, PRIMITIVES
from dsrna.spaces.operation_weights import check_operation_weights
from dsrna.spaces.supernet import Supernet
from dsrna.types import OperationWeights


class Nasbench201Supernet(Supernet):
    """The derived networks' skeleton with a mixed operation on every edge; all cells share the operation weights.

    As in every supernet of dsrna, operations have no BatchNorm scale and shift, and a pooling is followed by a
    BatchNorm; differs from the benchmark's released search code: its pooling isn't normalised.

    Args:
        skeleton: image shape, number and widths of cells.
        partial_channels: K of PC-DARTS; 1 sends every channel through the operations.

    Attributes:
        blocks: SupernetCells and reductions; ``blocks[i].edges[e].operations[o]`` is one operation.
    """

    def __init__(self, skeleton: Skeleton, partial_channels: int = 1) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.partial_channels = partial_channels
        self.normalize = skeleton.build_normalize()
        self.stem = skeleton.build_stem()
        self.blocks = skeleton.build_blocks(lambda channels: SupernetCell(channels, PRIMITIVES, partial_channels))
        self.head = skeleton.build_head()

    @property
    def shape(self) -> tuple[int, int, int]:
        """See :class:`dsrna.spaces.supernet.Supernet`."""
        return self.skeleton.shape

    def forward(self, x: Tensor, weights: OperationWeights) -> Tensor:
        """See :meth:`dsrna.spaces.supernet.Supernet.forward`."""
        check_operation_weights(weights, {CELL_TYPE: (len(EDGES), len(PRIMITIVES))})
        features = self.stem(self.normalize(x))
        for block in self.blocks:
            features = block(features, weights[CELL_TYPE]) if isinstance(block, SupernetCell) else block(features)
        return self.head(features)
