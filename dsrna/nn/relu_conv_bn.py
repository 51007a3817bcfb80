"""ReLU, convolution, BatchNorm: the block by which cells and operations change channel counts."""

from __future__ import annotations

from torch import nn


class ReluConvBn(nn.Sequential):
    """BatchNorm(Conv(ReLU(x))), without convolution bias.

    Args:
        channels_in: channels of x (N, channels_in, H, W).
        channels_out: channels of the output (N, channels_out, ceil(H / stride), ceil(W / stride)).
        kernel_size: odd; the padding keeps the map size at stride 1.
        stride: 1 or 2.
        affine: whether BatchNorm has a scale and shift (not in the supernet, where they would rival operation weights).
    """

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, stride: int, affine: bool) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_out, kernel_size, stride, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(channels_out, affine=affine),
        )
