"""A 7 x 7 convolution as a row and a column."""

from __future__ import annotations

from torch import nn

from dsrna.nn.operations.table import operation


@operation("conv_7x1_1x7")
class AsymmetricConv(nn.Sequential):
    """ReLU, 1 x 7 convolution, 7 x 1 convolution, BatchNorm; each convolution has the stride along its own direction.

    Source: Zoph et al., NASNet (CVPR 2018), section 3; as in DARTS's released code, the row first.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, affine: bool) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_out, (1, 7), (1, stride), padding=(0, 3), bias=False),
            nn.Conv2d(channels_out, channels_out, (7, 1), (stride, 1), padding=(3, 0), bias=False),
            nn.BatchNorm2d(channels_out, affine=affine),
        )
