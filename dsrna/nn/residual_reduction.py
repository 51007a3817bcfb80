"""Residual reduction: halves the map and changes the channels, with a way around the convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.functional.pooling import halved
from dsrna.nn.relu_conv_bn import ReluConvBn


class ResidualReduction(nn.Module):
    """ReluConvBn_3x3(ReluConvBn_3x3,stride2(x)) + conv1x1(avg_pool_2x2(x)), the way around without BatchNorm.

    At the border of a map of odd size the average runs over the pixels that are there, so that both summands come out
    as ceil(H / 2); the released code has no such case and fails there.

    Args:
        channels_in: channels of x (N, channels_in, H, W).
        channels_out: channels of the output (N, channels_out, ceil(H / 2), ceil(W / 2)).

    Source: Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2.1; the layers' order as in its released code.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            ReluConvBn(channels_in, channels_out, 3, 2, affine=True),
            ReluConvBn(channels_out, channels_out, 3, 1, affine=True),
        )
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, channels_in, H, W) to (N, channels_out, ceil(H / 2), ceil(W / 2))."""
        return self.shortcut(halved(x)) + self.convolutions(x)
