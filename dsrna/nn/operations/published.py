"""The operations of DARTS and NAS-Bench-201.

Source: Liu, Simonyan, Yang, DARTS (ICLR 2019), section 3.1.1; nor_conv_*: Dong and Yang, NAS-Bench-201 (ICLR 2020),
section 2.1; sep_conv_7x7: Zoph et al., NASNet (CVPR 2018), section 3.
"""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.nn.average_pool import AveragePool2d
from dsrna.nn.depthwise_conv import DepthwiseConv2d
from dsrna.nn.factorized_reduce import FactorizedReduce
from dsrna.nn.operations.table import operation
from dsrna.nn.relu_conv_bn import ReluConvBn


class SeparableConv(nn.Sequential):
    """Twice (ReLU, depthwise k x k, pointwise, BatchNorm); the stride is in the first depthwise convolution."""

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, stride: int, affine: bool) -> None:
        super().__init__(
            *_depthwise_separable(channels_in, channels_in, kernel_size, stride, dilation=1, affine=affine),
            *_depthwise_separable(channels_in, channels_out, kernel_size, 1, dilation=1, affine=affine),
        )


class DilatedConv(nn.Sequential):
    """ReLU, depthwise k x k with dilation 2, pointwise, BatchNorm."""

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, stride: int, affine: bool) -> None:
        super().__init__(
            *_depthwise_separable(channels_in, channels_out, kernel_size, stride, dilation=2, affine=affine)
        )


class Zero(nn.Module):
    """The operation `none`: zeros of the output's shape, still connected to x so that a gradient (of zeros) exists."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to zeros (N, C, ceil(H / stride), ceil(W / stride))."""
        return x[:, :, :: self.stride, :: self.stride] * 0.0


def _depthwise_separable(
    channels_in: int, channels_out: int, kernel_size: int, stride: int, dilation: int, affine: bool
) -> list[nn.Module]:
    return [
        nn.ReLU(),
        DepthwiseConv2d(channels_in, kernel_size, stride, dilation),
        nn.Conv2d(channels_in, channels_out, 1, bias=False),
        nn.BatchNorm2d(channels_out, affine=affine),
    ]


@operation("none")
def _none(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    _require_equal_channels("none", channels_in, channels_out)
    return Zero(stride)


@operation("max_pool_3x3")
def _max_pool(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    _require_equal_channels("max_pool_3x3", channels_in, channels_out)
    return nn.MaxPool2d(3, stride, padding=1)


@operation("avg_pool_3x3")
def _avg_pool(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    _require_equal_channels("avg_pool_3x3", channels_in, channels_out)
    return AveragePool2d(3, stride, padding=1, count_include_pad=False)


@operation("skip_connect")
def _skip_connect(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    if stride == 2:
        return FactorizedReduce(channels_in, channels_out, affine)
    _require_equal_channels("skip_connect", channels_in, channels_out)
    return nn.Identity()


def _require_equal_channels(name: str, channels_in: int, channels_out: int) -> None:
    if channels_in != channels_out:
        raise ConfigError(
            f"{name} can't change the number of channels: expected as many out as in, "
            f"got {channels_in} in and {channels_out} out. Put a ReluConvBn before it."
        )


@operation("sep_conv_3x3")
def _sep_conv_3x3(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    return SeparableConv(channels_in, channels_out, 3, stride, affine)


@operation("sep_conv_5x5")
def _sep_conv_5x5(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    return SeparableConv(channels_in, channels_out, 5, stride, affine)


@operation("dil_conv_3x3")
def _dil_conv_3x3(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    return DilatedConv(channels_in, channels_out, 3, stride, affine)


@operation("dil_conv_5x5")
def _dil_conv_5x5(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    return DilatedConv(channels_in, channels_out, 5, stride, affine)


@operation("nor_conv_1x1")
def _nor_conv_1x1(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    return ReluConvBn(channels_in, channels_out, 1, stride, affine)


@operation("nor_conv_3x3")
def _nor_conv_3x3(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    return ReluConvBn(channels_in, channels_out, 3, stride, affine)


@operation("sep_conv_7x7")
def _sep_conv_7x7(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    return SeparableConv(channels_in, channels_out, 7, stride, affine)
