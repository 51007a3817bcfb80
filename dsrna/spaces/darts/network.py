"""Derived networks of the DARTS space."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.nn.derived_cell import DerivedCell
from dsrna.spaces.darts.auxiliary_head import AuxiliaryHead
from dsrna.spaces.darts.skeleton import Skeleton
from dsrna.spaces.derived_network import DerivedNetwork
from dsrna.spaces.genotype import Genotype


class DartsNetwork(DerivedNetwork):
    """Normalisation, stem, derived cells, global average, linear.

    Args:
        genotype: a checked genotype of the DARTS space.
        skeleton: image shape, stem, number and widths of cells.
        auxiliary: whether there is an auxiliary head, on the output of cell 2 * cells // 3.
        drop_path: drop-path probability in [0, 1).
        as_in_supernet: build every layer in its supernet form, so that it can take over a supernet's weights.
    """

    def __init__(
        self,
        genotype: Genotype,
        skeleton: Skeleton,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        as_in_supernet: bool = False,
    ) -> None:
        super().__init__()
        self.genotype = genotype
        self.skeleton = skeleton
        widths = {cell_type: len(cell.concat) for cell_type, cell in genotype.cells.items()}
        shapes = skeleton.cell_shapes(widths)
        self.normalize = skeleton.build_normalize()
        self.stem = skeleton.build_stem()
        self.cells = nn.ModuleList(
            DerivedCell(shape, genotype.cells[cell_type].nodes, genotype.cells[cell_type].concat, as_in_supernet)
            for cell_type, shape in zip(skeleton.cell_types, shapes, strict=True)
        )
        channels = [shape.channels * widths[name] for name, shape in zip(skeleton.cell_types, shapes, strict=True)]
        self.classifier = nn.Linear(channels[-1], skeleton.classes)
        position = skeleton.auxiliary_position
        self.auxiliary_head = (
            AuxiliaryHead(channels[position], skeleton.map_size(position), skeleton.classes) if auxiliary else None
        )
        self.set_drop_path(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """See :meth:`dsrna.spaces.derived_network.DerivedNetwork.forward`."""
        return self._logits(self._features(x)[-1])

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """See :meth:`dsrna.spaces.derived_network.DerivedNetwork.forward_with_auxiliary`."""
        features = self._features(x)
        if self.auxiliary_head is None:
            return self._logits(features[-1]), None
        return self._logits(features[-1]), self.auxiliary_head(features[self.skeleton.auxiliary_position])

    def _features(self, x: Tensor) -> list[Tensor]:
        """Outputs of all cells."""
        features = list(self.stem(self.normalize(x)))
        for cell in self.cells:
            features.append(cell(features[-2], features[-1]))
        return features[2:]

    def _logits(self, features: Tensor) -> Tensor:
        return self.classifier(features.mean(dim=(2, 3)))
