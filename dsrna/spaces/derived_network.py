"""The network of a genotype."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from dsrna.nn.cell_shape import CellShape
from dsrna.nn.cell_topology import CellTopology
from dsrna.nn.chain import Link
from dsrna.nn.derived_cell import DerivedCell
from dsrna.nn.drop_path import DropPath
from dsrna.spaces.cell_chain import cell_chain
from dsrna.spaces.cell_network import CellNetwork
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.skeletons.base import Skeleton


class DerivedNetwork(CellNetwork):
    """A skeleton of a genotype's cells, to be trained from scratch.

    Args:
        genotype: a checked genotype.
        topologies: cell type -> inputs and strides of its cells.
        skeleton: image shape, stem, number, widths and places of cells.
        auxiliary: whether there is an auxiliary head.
        drop_path: drop-path probability in [0, 1).
        as_in_supernet: build every layer in its supernet form, so that it can take over a supernet's weights.

    Raises:
        ConfigError: the skeleton has no auxiliary head.
    """

    def __init__(
        self,
        genotype: Genotype,
        topologies: Mapping[str, CellTopology],
        skeleton: Skeleton,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        as_in_supernet: bool = False,
    ) -> None:
        def cell(cell_type: str, shape: CellShape) -> nn.Module:
            kind = genotype.cells[cell_type]
            return DerivedCell(topologies[cell_type], shape, kind.nodes, kind.concat, as_in_supernet)

        widths = {cell_type: len(cell.concat) for cell_type, cell in genotype.cells.items()}
        super().__init__(skeleton, cell, widths)
        self.genotype = genotype
        self.auxiliary_head = skeleton.build_auxiliary_head(widths) if auxiliary else None
        self._inputs = next(iter(topologies.values())).inputs
        self.set_drop_path(drop_path)

    @property
    def known_as(self) -> str:
        """What checksums call it, so that outcomes of evaluations count for good."""
        return self.skeleton.network_name

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits (N, K) for x (N, C, H, W) in [0, 1], never anything else."""
        return self.logits(self.features(x, self._inputs)[-1])

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns (logits, logits of the auxiliary head), the second None where the network has no such head."""
        features = self.features(x, self._inputs)
        logits = self.logits(features[-1])
        if self.auxiliary_head is None:
            return logits, None
        return logits, self.auxiliary_head(features[self.skeleton.auxiliary_position])

    def links(self) -> list[Link]:
        """Its parts one after the other, see :func:`dsrna.nn.chain.links`; a block is one nonlinear layer."""
        return cell_chain(self, self._inputs)

    def set_drop_path(self, probability: float) -> None:
        """Sets the drop-path probability of every cell.

        Raises:
            ConfigError: it isn't in [0, 1).
        """
        for module in self.modules():
            if isinstance(module, DropPath):
                module.set_probability(probability)
