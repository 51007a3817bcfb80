"""Depthwise convolutions whose gradients are fast on CPUs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrna.nn.plain_call import why_not_plain


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution without bias, "same" padding, whose gradients are fast on CPUs.

    At stride 1 the gradient in the input is the forward convolution with the flipped kernel, which CPUs compute several
    times faster than torch's general gradient, above all with dilation and channels-last maps; for that in the weight
    see :func:`weight_gradient`. Stride 2 is made of stride 1 on the maps of even and odd pixels. All are made of
    ordinary convolutions, so they can be differentiated again. Every call that isn't made of plain CPU tensors is
    torch's.

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
        return depthwise_conv(x, self.weight, self.stride[0], self.dilation[0])


def depthwise_conv(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """:class:`DepthwiseConv2d` with the given weight (C, 1, k, k)."""
    size = weight.shape[-1]
    padding = dilation * (size // 2)
    plain = why_not_plain(x, weight) is None
    if plain and torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        if stride == 1:
            return _Depthwise.apply(x, weight, padding, dilation)
        if (stride, dilation) == (2, 2):  # sees even pixels alone
            return depthwise_conv(x[:, :, ::2, ::2], weight, 1, 1)
        if (stride, dilation) == (2, 1) and size <= 5:
            # The taps on even and on odd pixels, as 3 x 3 kernels.
            before, behind = (5 - size) // 2, (7 - size) // 2
            taps = _parts(F.pad(weight, (before, behind, before, behind)))
            parts = depthwise_conv(torch.cat(_parts(x), dim=1), torch.cat(taps), 1, 1)
            return parts.unflatten(1, (4, -1)).sum(dim=1)
    return F.conv2d(x, weight, None, stride, padding, dilation, len(weight))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.dilation = padding, dilation
        return F.conv2d(x, weight, None, 1, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = F.conv2d(gradient, weight.flip(2, 3), None, 1, ctx.padding, ctx.dilation, len(weight))
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(gradient, x, weight.shape[-1], ctx.dilation)
        return of_x, of_weight, None, None


def weight_gradient(gradient: Tensor, x: Tensor, size: int, dilation: int) -> Tensor:
    """Gradient (C, 1, size, size) of a depthwise convolution of stride 1 in its weight.

    Torch computes that of 3 x 3 kernels ten to twenty times faster than of others, so these are made of such: of four
    windows of 3 x 3 in one of 5 x 5, and for a dilation of 2 of the four maps that even and odd pixels form.

    Args:
        gradient: at the output (N, C, H, W).
        x: the input (N, C, H, W).
        size: of the kernel, odd.
        dilation: of the kernel.
    """
    if dilation == 2:
        return weight_gradient(torch.cat(_parts(gradient)), torch.cat(_parts(x)), size, 1)
    if (size, dilation) == (5, 1):
        height, width = x.shape[-2] + 2, x.shape[-1] + 2
        padded = F.pad(x, (2, 2, 2, 2))
        corners = [
            [_of_torch(gradient, padded[:, :, i : i + height, j : j + width], 3, 1, padding=0) for j in (0, 2)]
            for i in (0, 2)
        ]
        # Two windows side by side share the middle row or column.
        upper, lower = (torch.cat([left, right[..., 1:]], dim=3) for left, right in corners)
        return torch.cat([upper, lower[..., 1:, :]], dim=2)
    return _of_torch(gradient, x, size, dilation, padding=dilation * (size // 2))


def _of_torch(gradient: Tensor, x: Tensor, size: int, dilation: int, padding: int) -> Tensor:
    channels = x.shape[1]
    unused = x.new_zeros(
        channels, 1, size, size
    )  # the weight's values don't count where only its gradient is asked for
    _, found, _ = torch.ops.aten.convolution_backward(
        gradient, x, unused, None, (1, 1), (padding, padding), (dilation, dilation), False, (0, 0), channels,
        (False, True, False),
    )  # fmt: skip
    return found


def _parts(x: Tensor) -> list[Tensor]:
    """The maps (N, C, ceil(H / 2), ceil(W / 2)) of even and odd rows and columns; zeros complete odd sizes."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, width % 2, 0, height % 2))
    return [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
