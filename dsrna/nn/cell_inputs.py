"""The input nodes of a cell."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.nn.cell_shape import CellShape
from dsrna.nn.factorized_reduce import FactorizedReduce
from dsrna.nn.relu_conv_bn import ReluConvBn


class CellInputs(nn.Module):
    """Brings the outputs of the cells before to one number of channels and one map size.

    Args:
        shape: the cell's shape.
        inputs: 2, or 1 for the previous cell's output alone.
        affine: whether BatchNorm has a scale and shift.
    """

    def __init__(self, shape: CellShape, inputs: int, affine: bool) -> None:
        super().__init__()
        if inputs == 2:
            self.before_previous = (
                FactorizedReduce(shape.channels_before_previous, shape.channels, affine)
                if shape.follows_reduction
                else ReluConvBn(shape.channels_before_previous, shape.channels, 1, 1, affine)
            )
        self.previous = ReluConvBn(shape.channels_previous, shape.channels, 1, 1, affine)

    def forward(self, *outputs: Tensor) -> list[Tensor]:
        """Maps the outputs of the cells before to the input nodes, all (N, channels, H, W) with the last one's map."""
        *earlier, previous = outputs
        return [*(self.before_previous(x) for x in earlier), self.previous(previous)]


def cell_inputs(shape: CellShape, inputs: int, affine: bool) -> CellInputs | None:
    """What a cell does to its inputs: nothing, where it takes them as they are."""
    return CellInputs(shape, inputs, affine) if shape.adapted else None
