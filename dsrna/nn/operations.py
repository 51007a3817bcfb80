"""The operations of all search spaces under their genotype names.

To add one: a class or function ``(channels_in, channels_out, stride, affine) -> nn.Module`` and one line in
:data:`OPERATIONS`. None changes its input in place, so that all can be differentiated twice.

Source: Liu, Simonyan, Yang, DARTS (ICLR 2019), section 3.1.1; nor_conv_*: Dong and Yang, NAS-Bench-201 (ICLR 2020),
section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.nn.average_pool import AveragePool2d
from dsrna.nn.depthwise_conv import DepthwiseConv2d
from dsrna.nn.factorized_reduce import FactorizedReduce
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


def _none(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    _require_equal_channels("none", channels_in, channels_out)
    return Zero(stride)


def _max_pool(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    _require_equal_channels("max_pool_3x3", channels_in, channels_out)
    return nn.MaxPool2d(3, stride, padding=1)


def _avg_pool(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    _require_equal_channels("avg_pool_3x3", channels_in, channels_out)
    return AveragePool2d(3, stride, padding=1, count_include_pad=False)


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


OperationBuilder = Callable[[int, int, int, bool], nn.Module]

OPERATIONS: dict[str, OperationBuilder] = {
    "none": _none,
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _avg_pool,
    "skip_connect": _skip_connect,
    "sep_conv_3x3": lambda c_in, c_out, stride, affine: SeparableConv(c_in, c_out, 3, stride, affine),
    "sep_conv_5x5": lambda c_in, c_out, stride, affine: SeparableConv(c_in, c_out, 5, stride, affine),
    "dil_conv_3x3": lambda c_in, c_out, stride, affine: DilatedConv(c_in, c_out, 3, stride, affine),
    "dil_conv_5x5": lambda c_in, c_out, stride, affine: DilatedConv(c_in, c_out, 5, stride, affine),
    "nor_conv_1x1": lambda c_in, c_out, stride, affine: ReluConvBn(c_in, c_out, 1, stride, affine),
    "nor_conv_3x3": lambda c_in, c_out, stride, affine: ReluConvBn(c_in, c_out, 3, stride, affine),
}
"""Genotype name -> constructor ``(channels_in, channels_out, stride, affine)``; stride is 1 or 2."""


def supernet_operation(name: str, channels: int, stride: int) -> nn.Module:
    """An operation in the form it has in a supernet: BatchNorm without scale and shift, and one after a pooling.

    Scale and shift would let network weights undo operation weights; the BatchNorm after a pooling brings its output to
    the scale of its rivals'.

    Args:
        name: a key of :data:`OPERATIONS`.
        channels: channels in and out.
        stride: 1 or 2.
    """
    operation = OPERATIONS[name](channels, channels, stride, False)
    if isinstance(operation, nn.MaxPool2d | nn.AvgPool2d):
        return nn.Sequential(operation, nn.BatchNorm2d(channels, affine=False))
    return operation
