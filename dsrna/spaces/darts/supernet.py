"""The supernet of the DARTS space."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dsrna.nn.supernet_cell import SupernetCell
from dsrna.spaces.darts.skeleton import CELL_TYPES, Skeleton
from dsrna.spaces.operation_weights import check_operation_weights
from dsrna.spaces.supernet import Supernet
from dsrna.types import OperationWeights


class DartsSupernet(Supernet):
    """Normalisation, stem, cells that all share the operation weights of their type, global average, linear.

    Args:
        skeleton: image shape, stem, number and widths of cells.
        edges: (source, target) of each edge, the same for both cell types.
        primitives: names of the operations on each edge.
        partial_channels: K of PC-DARTS; 1 sends every channel through the operations.

    Attributes:
        cells: SupernetCells; ``cells[i].edges[e].operations[o]`` is one operation.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        edges: Sequence[tuple[int, int]],
        primitives: Sequence[str],
        partial_channels: int = 1,
    ) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.edges = tuple(edges)
        self.primitives = tuple(primitives)
        self.partial_channels = partial_channels
        nodes = len({target for _, target in edges})
        shapes = skeleton.cell_shapes(dict.fromkeys(CELL_TYPES, nodes))
        self.normalize = skeleton.build_normalize()
        self.stem = skeleton.build_stem()
        self.cells = nn.ModuleList(SupernetCell(shape, edges, primitives, partial_channels) for shape in shapes)
        self.classifier = nn.Linear(shapes[-1].channels * nodes, skeleton.classes)
        self._weight_shapes = dict.fromkeys(CELL_TYPES, (len(edges), len(primitives)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """See :class:`dsrna.spaces.supernet.Supernet`."""
        return self.skeleton.shape

    def forward(self, x: Tensor, weights: OperationWeights) -> Tensor:
        """See :meth:`dsrna.spaces.supernet.Supernet.forward`."""
        check_operation_weights(weights, self._weight_shapes)
        before_previous, previous = self.stem(self.normalize(x))
        for cell_type, cell in zip(self.skeleton.cell_types, self.cells, strict=True):
            before_previous, previous = previous, cell(before_previous, previous, weights[cell_type])
        return self.classifier(previous.mean(dim=(2, 3)))
