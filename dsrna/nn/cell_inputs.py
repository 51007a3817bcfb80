"""The two input nodes of a cell."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.nn.cell_shape import CellShape
from dsrna.nn.factorized_reduce import FactorizedReduce
from dsrna.nn.relu_conv_bn import ReluConvBn


class CellInputs(nn.Module):
    """Brings the outputs of the two cells before to one number of channels and one map size.

    Args:
        shape: the cell's shape.
        affine: whether BatchNorm has a scale and shift.
    """

    def __init__(self, shape: CellShape, affine: bool) -> None:
        super().__init__()
        self.before_previous: nn.Module
        if shape.follows_reduction:
            self.before_previous = FactorizedReduce(shape.channels_before_previous, shape.channels, affine)
        else:
            self.before_previous = ReluConvBn(shape.channels_before_previous, shape.channels, 1, 1, affine)
        self.previous = ReluConvBn(shape.channels_previous, shape.channels, 1, 1, affine)

    def forward(self, before_previous: Tensor, previous: Tensor) -> list[Tensor]:
        """Returns the cell's nodes 0 and 1, both (N, channels, H, W) with the map size of ``previous``."""
        return [self.before_previous(before_previous), self.previous(previous)]
