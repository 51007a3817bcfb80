"""Depthwise convolutions whose input gradient is fast on CPUs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrna.nn.plain_call import why_not_plain


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution without bias, "same" padding.

    At stride 1 the gradient in the input is the forward convolution with the flipped kernel, which CPUs compute several
    times faster than torch's general gradient, above all with dilation and channels-last maps. It is made of ordinary
    convolutions, so it can be differentiated again. Everything else, and every call that isn't made of plain CPU
    tensors, is torch's.

    Args:
        channels: in and out.
        kernel_size: odd.
        stride: 1 or 2.
        dilation: distance of the kernel's taps.
    """

    def __init__(self, channels: int, kernel_size: int, stride: int, dilation: int) -> None:
        padding = dilation * (kernel_size // 2)
        super().__init__(channels, channels, kernel_size, stride, padding, dilation, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        if self.stride == (1, 1) and why_not_plain(x, self.weight) is None:
            return _Depthwise.apply(x, self.weight, self.padding, self.dilation)
        return super().forward(x)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: tuple[int, int], dilation: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.dilation = padding, dilation
        return F.conv2d(x, weight, None, 1, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        padding, dilation, groups = ctx.padding, ctx.dilation, len(weight)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = F.conv2d(gradient, weight.flip(2, 3), None, 1, padding, dilation, groups)
        if ctx.needs_input_grad[1]:
            _, of_weight, _ = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, (1, 1), padding, dilation, False, (0, 0), groups, (False, True, False)
            )
        return of_x, of_weight, None, None
