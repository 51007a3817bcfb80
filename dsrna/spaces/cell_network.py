"""What supernet and derived network share: a skeleton with cells in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from dsrna.spaces.skeletons.base import CellBuilder, Skeleton
from dsrna.types import OperationWeights


class CellNetwork(nn.Module):
    """Normalisation, stem, blocks (cells, and what may stand between them), head.

    Args:
        skeleton: image shape, number, widths and places of cells.
        cell: builds a cell of a type in a shape.
        widths: cell type -> how many nodes its output concatenates.

    Attributes:
        skeleton: as given. It names the parts ``blocks`` and ``head`` (``cells`` and ``classifier`` in stacked ones).
    """

    def __init__(self, skeleton: Skeleton, cell: CellBuilder, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.normalize = skeleton.build_normalize()
        self.stem = skeleton.build_stem()
        self.add_module(skeleton.blocks_name, skeleton.build_blocks(cell, widths))
        self.add_module(skeleton.head_name, skeleton.build_head(widths))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        return self.skeleton.shape

    @property
    def body(self) -> nn.ModuleList:
        """The blocks, whatever the skeleton calls them."""
        return cast(nn.ModuleList, getattr(self, self.skeleton.blocks_name))

    @property
    def last_layers(self) -> nn.Module:
        """The head, whatever the skeleton calls it."""
        return cast(nn.Module, getattr(self, self.skeleton.head_name))

    def features(self, x: Tensor, inputs: int, weights: OperationWeights | None = None) -> list[Tensor]:
        """Outputs of all blocks.

        Args:
            x: images (N, C, H, W).
            inputs: how many outputs of blocks before it a cell takes.
            weights: for the cells of a supernet.
        """
        outputs = self.stem(self.normalize(x))
        outputs = (
            list(outputs) if isinstance(outputs, tuple | list) else [outputs]
        )  # a stand-in of a bound is no Tensor
        before = len(outputs)
        for cell_type, block in zip(self.skeleton.cell_types, self.body, strict=True):
            if cell_type is None:
                outputs.append(block(outputs[-1]))
            elif weights is None:
                outputs.append(block(*outputs[-inputs:]))
            else:
                outputs.append(block(*outputs[-inputs:], weights=weights[cell_type]))
        return outputs[before:]

    def logits(self, features: Tensor) -> Tensor:
        """Maps the last block's output to logits (N, K)."""
        return self.skeleton.logits(self.last_layers, features)
