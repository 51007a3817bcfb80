"""Derived networks of the NAS-Bench-201 space."""

from __future__ import annotations

from torch import Tensor

from dsrna.spaces.derived_network import DerivedNetwork
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.nasbench201.architecture_string import architecture_string, operations_of
from dsrna.spaces.nasbench201.derived_cell import DerivedCell
from dsrna.spaces.nasbench201.skeleton import Skeleton


class Nasbench201Network(DerivedNetwork):
    """Normalisation, stem, three stages of derived cells with reductions between, BatchNorm, ReLU, average, linear.

    Args:
        genotype: a checked genotype of the space.
        skeleton: image shape, number and widths of cells.
        drop_path: drop-path probability in [0, 1).
        as_in_supernet: build the cells in their supernet form, so that they can take over a supernet's weights.

    Attributes:
        blocks: cells and reductions, in the order of the forward pass.
    """

    def __init__(
        self, genotype: Genotype, skeleton: Skeleton, drop_path: float = 0.0, as_in_supernet: bool = False
    ) -> None:
        super().__init__()
        self.genotype = genotype
        self.skeleton = skeleton
        operations = operations_of(architecture_string(genotype))
        self.normalize = skeleton.build_normalize()
        self.stem = skeleton.build_stem()
        self.blocks = skeleton.build_blocks(lambda channels: DerivedCell(channels, operations, as_in_supernet))
        self.head = skeleton.build_head()
        self.set_drop_path(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """See :meth:`dsrna.spaces.derived_network.DerivedNetwork.forward`."""
        features = self.stem(self.normalize(x))
        for block in self.blocks:
            features = block(features)
        return self.head(features)
