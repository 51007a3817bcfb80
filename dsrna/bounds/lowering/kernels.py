"""Kernels of plain dense convolutions: no groups, no dilation, the same padding on opposite sides."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Pads(NamedTuple):
    """Rows and columns of zeros around a map; a negative number cuts some off."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


def dense_kernel(kernel: Tensor, groups: int, dilation: tuple[int, int]) -> Tensor:
    """The kernel of the dense, undilated convolution that equals a grouped, dilated one.

    Args:
        kernel: (O, C / groups, h, w).
        groups: of the convolution.
        dilation: of the convolution.

    Returns:
        (O, C, dilation (h - 1) + 1, dilation (w - 1) + 1), zero where groups and dilation leave gaps.
    """
    if groups > 1:
        identity = torch.eye(groups, dtype=kernel.dtype, device=kernel.device)
        grouped = kernel.unflatten(0, (groups, -1))
        kernel = torch.einsum("gochw,gk->gokchw", grouped, identity).flatten(2, 3).flatten(0, 1)
    height, width = ((size - 1) * step + 1 for size, step in zip(kernel.shape[2:], dilation, strict=True))
    spread = kernel.new_zeros(*kernel.shape[:2], height, width)
    spread[:, :, :: dilation[0], :: dilation[1]] = kernel
    return spread


def symmetric_padding(pads: Pads) -> tuple[tuple[int, int], Pads]:
    """How to write a convolution with any pads as one with the same padding on opposite sides.

    Returns:
        (padding, frame): the padding (vertical, horizontal), and the zeros to put around the kernel, all >= 0.
    """
    vertical, horizontal = max(pads.top, pads.bottom, 0), max(pads.left, pads.right, 0)
    frame = Pads(horizontal - pads.left, horizontal - pads.right, vertical - pads.top, vertical - pads.bottom)
    return (vertical, horizontal), frame


def framed(kernel: Tensor, frame: Pads) -> Tensor:
    """A kernel with zeros around it."""
    return F.pad(kernel, tuple(frame)) if any(frame) else kernel


def pointwise_after(pointwise: Tensor, kernel: Tensor) -> Tensor:
    """The kernel of a 1 x 1 convolution without padding after another convolution.

    Args:
        pointwise: (O, M, 1, 1).
        kernel: (M, C, h, w).
    """
    return torch.einsum("om,mchw->ochw", pointwise[:, :, 0, 0], kernel)
